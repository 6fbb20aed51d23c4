-- Experiments are a fold over what operators did: few rows among many.
CREATE INDEX events_admin ON events (seq) WHERE kind = 'admin';
