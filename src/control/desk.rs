//! Where commands are carried out: judged, done on the store, recorded, answered.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::audit::AuditJob;
use super::command::{Action, AddSymbol, Asker, Audit, Backfill, Command, StatusQuery, SymbolName, check_id};
use super::reply::{Refusal, RefusalKind, Reply};
use super::wanted::{self, off_note};
use super::wish::{self, Request, Wish};
use crate::clock::Clock;
use crate::status::Board;
use crate::store::reader::{ReadError, Reader};
use crate::store::rows::ASKED;
use crate::store::{CommandRow, NewSymbol, Store, StoreError, SymbolChange, SymbolRow, SymbolState};

/// What the tree has to do after a command.
#[derive(Debug, Clone, PartialEq)]
pub enum FollowUp {
    /// Look at the tables now.
    Refresh,
    /// Carry out an audit that is recorded as begun.
    Audit(AuditJob),
    /// Stop in order.
    Shutdown,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// For the asker.
    pub reply: Reply,
    /// For the tree.
    pub follow_up: Option<FollowUp>,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    store: Arc<dyn Store>,
    board: Board,
    clock: Clock,
}

/// What an action did: whether it changed something, words, and notes.
struct Done {
    changed: bool,
    message: String,
    notes: Vec<String>,
}

impl Desk {
    /// A desk that works on a store and tells of a board.
    pub fn new(store: Arc<dyn Store>, board: Board, clock: Clock) -> Desk {
        Desk { store, board, clock }
    }

    /// Carries out a command, once by its id: a known one is answered with what became of it then.
    /// `status` changes nothing, so it is not recorded and always answered anew.
    pub async fn answer(&self, command: &Command) -> Answer {
        let name = command.action.name();
        let refused = |refusal| Reply::refused(Some(command.id.clone()), Some(name.to_owned()), refusal);
        let alone = |reply| Answer { reply, follow_up: None };
        if let Err(message) = check_id(&command.id) {
            return alone(refused(Refusal { kind: RefusalKind::Malformed, message }));
        }
        if let Action::Status(query) = &command.action {
            return alone(self.status(command, query).unwrap_or_else(refused));
        }
        let body = command.to_json();
        match self.store.command(&command.id).await {
            // Asked in the table itself, and carried out now.
            Ok(Some(known)) if known.outcome == ASKED && known.kind == name => {}
            Ok(Some(known)) if (known.kind.as_str(), known.body.as_str()) == (name, body.as_str()) => {
                let report = known.report.and_then(|report| serde_json::from_str(&report).ok());
                return alone(Reply { report, ..Reply::repeated(&command.id, name, &known.outcome) });
            }
            Ok(Some(known)) => {
                let message = format!("id {:?} was another command's ({}); choose a new one", command.id, known.kind);
                return alone(refused(Refusal { kind: RefusalKind::Conflict, message }));
            }
            Ok(None) => {}
            Err(error) => return alone(refused(error.into())),
        }
        let now = self.clock.now();
        let done = match &command.action {
            Action::Audit(asked) => self.audit(&command.id, asked, now).await.map(|job| {
                let reply = Reply::begun(&command.id, name, begun_words(&job));
                (reply, Some(FollowUp::Audit(job)))
            }),
            action => self.carry_out(action, now).await.map(|done| {
                let follow_up = match action {
                    Action::Shutdown => Some(FollowUp::Shutdown),
                    _ => done.changed.then_some(FollowUp::Refresh),
                };
                let reply = Reply::done(&command.id, name, done.changed, done.message);
                (Reply { notes: done.notes, ..reply }, follow_up)
            }),
        };
        let (reply, follow_up) = done.unwrap_or_else(|refusal| (refused(refusal), None));
        if reply.error.as_ref().is_some_and(|refusal| refusal.kind.is_passing()) {
            return alone(reply);
        }
        let row = CommandRow {
            id: command.id.clone(),
            kind: name.to_owned(),
            body,
            asked_by: command.asked_by.as_str().to_owned(),
            asked_at: now,
            outcome: reply.outcome(),
            report: None,
        };
        // Carried out and not recorded: asked again it finds nothing left to change. A stop that is
        // not recorded would come back at the next start, so it is not begun; of an audit nobody would hear.
        match self.store.record_command(&row).await {
            Err(error) if matches!(follow_up, Some(FollowUp::Shutdown | FollowUp::Audit(_))) => {
                alone(refused(error.into()))
            }
            Err(error) => {
                tracing::warn!(%error, id = row.id, "a command was carried out and could not be recorded");
                Answer { reply, follow_up }
            }
            Ok(_) => Answer { reply, follow_up },
        }
    }

    async fn carry_out(&self, action: &Action, now: DateTime<Utc>) -> Result<Done, Refusal> {
        match action {
            Action::AddSymbol(add) => self.add(add, now).await,
            Action::RemoveSymbol(name) => self.remove(name).await,
            Action::Pause(name) => self.set_state(name, SymbolState::Paused).await,
            Action::Resume(name) => self.set_state(name, SymbolState::Active).await,
            Action::Backfill(backfill) => self.backfill(backfill, now).await,
            Action::Shutdown => Ok(Done { changed: true, message: "stopping in order".to_owned(), notes: Vec::new() }),
            // Answered elsewhere.
            Action::Audit(_) | Action::Status(_) => {
                Ok(Done { changed: false, message: String::new(), notes: Vec::new() })
            }
        }
    }

    fn status(&self, command: &Command, query: &StatusQuery) -> Result<Reply, Refusal> {
        let components = match &query.component {
            None => self.board.snapshot(),
            Some(name) => match self.board.get(name) {
                Some(status) => vec![status],
                None => {
                    let known = self.board.snapshot().into_iter().map(|status| status.component);
                    let message = format!("no component {name:?}; known: {}", known.collect::<Vec<_>>().join(" "));
                    return Err(Refusal { kind: RefusalKind::Unknown, message });
                }
            },
        };
        let reply = Reply::done(&command.id, command.action.name(), false, String::new());
        Ok(Reply { components: Some(components), ..reply })
    }

    async fn add(&self, add: &AddSymbol, now: DateTime<Utc>) -> Result<Done, Refusal> {
        let Wish { new, mut notes, .. } = add.to_request().check(now).map_err(invalid)?;
        let change = wanted::add_symbol(&*self.store, &new).await?;
        let row = self.find(&new.exchange, new.symbol.as_str()).await?;
        if row.state == SymbolState::Paused {
            notes.push("it is paused; resume goes on with it".to_owned());
        }
        notes.extend(off_note(&wanted::exchange_row(&*self.store, &new.exchange).await?));
        let message = format!("{} {} {}: {}", row.exchange, row.symbol, wanted::verb(change), wanted::in_words(&row));
        Ok(Done { changed: change != SymbolChange::Unchanged, message, notes })
    }

    async fn remove(&self, name: &SymbolName) -> Result<Done, Refusal> {
        let nothing = |message| Ok(Done { changed: false, message, notes: Vec::new() });
        let row = match Reader::new(self.store.clone()).find(&name.exchange, &name.symbol).await {
            Ok(row) => row,
            Err(ReadError::Store(error)) => return Err(error.into()),
            // What is not wanted need not be removed: the command may have been carried out before.
            Err(not_there) => return nothing(not_there.to_string()),
        };
        let changed = self.store.remove_symbol(&row.exchange, &row.symbol).await?;
        let message = format!("{} {} is not wanted any more; its candles stay", row.exchange, row.symbol);
        Ok(Done { changed, message, notes: Vec::new() })
    }

    async fn set_state(&self, name: &SymbolName, state: SymbolState) -> Result<Done, Refusal> {
        let row = self.find(&name.exchange, &name.symbol).await?;
        let changed = row.state != state;
        if changed {
            self.store.set_symbol_state(&row.exchange, &row.symbol, &state).await?;
        }
        let message = format!("{} {} {}", row.exchange, row.symbol, wanted::state_words(&row.state, &state));
        Ok(Done { changed, message, notes: Vec::new() })
    }

    async fn backfill(&self, asked: &Backfill, now: DateTime<Utc>) -> Result<Done, Refusal> {
        if asked.from.is_none() && asked.backfill_days.is_none() {
            return Err(invalid(vec!["since when is missing; give from or backfill_days".to_owned()]));
        }
        let row = self.find(&asked.exchange, &asked.symbol).await?;
        let name = format!("{} {}", row.exchange, row.symbol);
        if row.only_ticker {
            return Err(invalid(vec![format!("{name}: the ticker only is wanted, and it has no history")]));
        }
        let (from, backfill_days) = (asked.from.clone(), asked.backfill_days.clone());
        let asked_from = Request { from, backfill_days, ..Request::default() }.check_from(now);
        let from = asked_from.map_err(|fault| invalid(vec![fault]))?;
        let new = NewSymbol {
            exchange: row.exchange.clone(),
            symbol: row.symbol.clone(),
            timeframes: row.timeframes.clone(),
            backfill_from: from,
            collect_trades: row.collect_trades,
            candle_source: row.candle_source,
            only_ticker: false,
        };
        let notes = wish::notes(&new, now);
        let change = self.store.add_symbol(&new).await?;
        let changed = change != SymbolChange::Unchanged;
        let row = self.find(&asked.exchange, &asked.symbol).await?;
        let message = format!("{name} {}: {}", wanted::verb(change), wanted::in_words(&row));
        Ok(Done { changed, message, notes })
    }

    async fn audit(&self, id: &str, asked: &Audit, now: DateTime<Utc>) -> Result<AuditJob, Refusal> {
        let symbols = match (&asked.exchange, &asked.symbol) {
            (Some(exchange), Some(symbol)) => vec![self.find(exchange, symbol).await?],
            (Some(exchange), None) => Reader::new(self.store.clone()).find_all(exchange).await.map_err(unknown)?,
            (None, None) => self.store.symbols().await?,
            (None, Some(_)) => return Err(invalid(vec!["a symbol needs its exchange; give both or none".to_owned()])),
        };
        AuditJob::plan(id, asked, &symbols, now).map_err(invalid)
    }

    /// The commands that were asked in the table itself, oldest first. What is no command there is refused.
    ///
    /// # Errors
    /// What the store says.
    pub async fn asked(&self) -> Result<Vec<Command>, StoreError> {
        let mut commands = Vec::new();
        for row in self.store.open_commands().await?.into_iter().filter(|row| row.outcome == ASKED) {
            let refusal = match Command::from_json(&row.body, Asker::Cli) {
                Ok(command) if command.id == row.id && command.action.name() == row.kind => {
                    commands.push(command);
                    continue;
                }
                Ok(_) => Reply::refused(None, None, malformed("id and command of the body are not those of the row")),
                Err(reply) => *reply,
            };
            self.store.update_command(&row.id, &refusal.outcome(), None).await?;
        }
        Ok(commands)
    }

    async fn find(&self, exchange: &str, symbol: &str) -> Result<SymbolRow, Refusal> {
        Reader::new(self.store.clone()).find(exchange, symbol).await.map_err(unknown)
    }
}

fn unknown(error: ReadError) -> Refusal {
    match error {
        ReadError::Store(error) => error.into(),
        not_there => Refusal { kind: RefusalKind::Unknown, message: not_there.to_string() },
    }
}

fn malformed(message: &str) -> Refusal {
    Refusal { kind: RefusalKind::Malformed, message: message.to_owned() }
}

/// What is answered when an audit begins.
fn begun_words(job: &AuditJob) -> String {
    let repair = if job.repairs { "what differs is put right" } else { "nothing is changed" };
    format!(
        "{} series are compared with their exchanges, {repair}; this id asked again tells how far that is",
        job.series.len()
    )
}

fn invalid(faults: Vec<String>) -> Refusal {
    Refusal { kind: RefusalKind::Invalid, message: faults.join("; ") }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal { kind: RefusalKind::Store, message: error.to_string() }
    }
}
