-- Trades in chunks of time: every unique key must then hold the time. That a known id is left alone,
-- whatever its time, is kept by a trigger instead.
ALTER TABLE trades DROP CONSTRAINT trades_pkey;
ALTER TABLE trades ADD PRIMARY KEY (symbol_id, trade_id, venue_id, time);

CREATE FUNCTION leave_known_trades() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT FROM trades
        WHERE symbol_id = NEW.symbol_id AND trade_id = NEW.trade_id AND venue_id = NEW.venue_id
    ) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER known_trades BEFORE INSERT ON trades
FOR EACH ROW EXECUTE FUNCTION leave_known_trades();
