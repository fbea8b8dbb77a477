CREATE INDEX events_by_time ON events (time);
