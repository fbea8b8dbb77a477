-- Events go without a foreign key, as candles do: looking up its symbol for every event cost more
-- than storing it. Whoever records one holds the symbol's row or that of a series of it, and
-- `symbols_deleted_with_trades` keeps a symbol that has any.
ALTER TABLE events DROP CONSTRAINT events_symbol_id_fkey;

-- Those that are pruned are found by number.
DROP INDEX events_by_time;

CREATE OR REPLACE FUNCTION keep_owner() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    is_owner BOOLEAN;
BEGIN
    IF TG_TABLE_NAME = 'series' THEN
        SELECT EXISTS (SELECT FROM candles WHERE series_id = OLD.id)
            OR EXISTS (SELECT FROM candle_revisions WHERE series_id = OLD.id) INTO is_owner;
    ELSE
        SELECT EXISTS (SELECT FROM trades WHERE symbol_id = OLD.id)
            OR EXISTS (SELECT FROM events WHERE symbol_id = OLD.id) INTO is_owner;
    END IF;
    IF is_owner THEN
        RAISE foreign_key_violation USING MESSAGE =
            format('row %s of %s still has candles, trades or events; delete those first', OLD.id, TG_TABLE_NAME);
    END IF;
    RETURN OLD;
END
$$;
