-- What a command that takes its time has found, as JSON: of an audit one object for each series.
ALTER TABLE commands ADD COLUMN report TEXT CHECK (report IS NULL OR report::json IS NOT NULL);

-- Commands that are asked in this table, and those that are under way: looked for every second.
CREATE INDEX commands_open ON commands (asked_at) WHERE outcome = 'asked' OR outcome LIKE 'begun:%';
