-- A decision and its end are found by their places, which stand in its row; only reports need an index. It was an entry for every event.
DROP INDEX events_decision;
CREATE INDEX events_feedback ON events (decision, seq) WHERE kind = 'feedback';
