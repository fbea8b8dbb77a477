-- Events that are pruned are found by number.
DROP INDEX events_by_time;
