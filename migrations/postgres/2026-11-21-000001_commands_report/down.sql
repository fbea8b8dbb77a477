DROP INDEX commands_open;
ALTER TABLE commands DROP COLUMN report;
