CREATE OR REPLACE FUNCTION keep_owner() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    is_owner BOOLEAN;
BEGIN
    IF TG_TABLE_NAME = 'series' THEN
        SELECT EXISTS (SELECT FROM candles WHERE series_id = OLD.id)
            OR EXISTS (SELECT FROM candle_revisions WHERE series_id = OLD.id) INTO is_owner;
    ELSE
        SELECT EXISTS (SELECT FROM trades WHERE symbol_id = OLD.id) INTO is_owner;
    END IF;
    IF is_owner THEN
        RAISE foreign_key_violation USING MESSAGE =
            format('row %s of %s still has candles or trades; delete those first', OLD.id, TG_TABLE_NAME);
    END IF;
    RETURN OLD;
END
$$;

CREATE INDEX events_by_time ON events (time);

ALTER TABLE events
    ADD CONSTRAINT events_symbol_id_fkey FOREIGN KEY (symbol_id) REFERENCES symbols (id);
