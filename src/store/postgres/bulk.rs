//! Rows in bulk: one array a column, so that a statement is the same for one row and for thousands,
//! prepared once a connection and only bound from then on.
//!
//! The arrays are unnested side by side in a select list. The server hands such rows on one by one;
//! of `FROM UNNEST($1, $2, ...)` it first stores every column apart, which costs as much again as
//! storing the rows.

use std::marker::PhantomData;

use diesel::RunQueryDsl;
use diesel::pg::Pg;
use diesel::pg::sql_types::Array;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};

/// A statement around `SELECT UNNEST($1), UNNEST($2), ...`. `sql_query` would be parsed and planned
/// anew whenever it runs.
pub struct Bulk<'a, C> {
    pub before: &'a str,
    /// A tuple of [`Column`]s.
    pub columns: C,
    pub after: &'a str,
    /// Whether it comes again word for word: it stays prepared.
    pub is_repeated: bool,
}

impl<C: QueryFragment<Pg>> QueryFragment<Pg> for Bulk<'_, C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.is_repeated {
            out.unsafe_to_cache_prepared();
        }
        out.push_sql(self.before);
        out.push_sql(" SELECT ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(" ");
        out.push_sql(self.after);
        Ok(())
    }
}

/// Prepared statements are told apart by their text.
impl<C> QueryId for Bulk<'_, C> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// What it gives back is read by name.
impl<C> Query for Bulk<'_, C> {
    type SqlType = Untyped;
}

impl<C, Connection> RunQueryDsl<Connection> for Bulk<'_, C> {}

/// `UNNEST($n)` of values of a type.
pub struct Column<T, V> {
    values: Vec<V>,
    kind: PhantomData<T>,
}

impl<T, V> Column<T, V> {
    pub fn of(values: impl Iterator<Item = V>) -> Column<T, V> {
        Column { values: values.collect(), kind: PhantomData }
    }
}

impl<T, V> QueryFragment<Pg> for Column<T, V>
where
    T: 'static,
    Pg: HasSqlType<Array<T>>,
    Vec<V>: ToSql<Array<T>, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("UNNEST(");
        out.push_bind_param::<Array<T>, _>(&self.values)?;
        out.push_sql(")");
        Ok(())
    }
}
