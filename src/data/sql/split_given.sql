-- The part that the input says.

CREATE VIEW labelled AS
SELECT *, ['train', 'val', 'test'][given + 1] AS part FROM kept;
