-- Whole pages in the log, compressed by :method; hints that are logged where the server says so.
ALTER SYSTEM SET wal_compression = :method;
ALTER SYSTEM SET full_page_writes = on;
SELECT pg_reload_conf();
DROP TABLE IF EXISTS i;
\connect postgres
CREATE TABLE i (n int PRIMARY KEY, t text, a int[], p point) WITH (fillfactor = 90);
CREATE INDEX ON i USING gin (a);
CREATE INDEX ON i USING gist (p);
CREATE INDEX ON i USING hash (t);
INSERT INTO i SELECT n, md5((n % 1000)::text), ARRAY[n % 7, n], point(n, -n) FROM generate_series(1, 4000 * :scale) n;
CHECKPOINT;
-- Reading sets the hints.
SELECT count(*) FROM i;
UPDATE i SET n = -n WHERE n % 10 = 0;
CHECKPOINT;
DELETE FROM i WHERE n % 7 = 0;
VACUUM i;
CHECKPOINT;
INSERT INTO i SELECT n + 100000, 'new', ARRAY[n], point(n, n) FROM generate_series(1, 1000) n;
SELECT count(*) FROM i WHERE n % 3 = 0;
CREATE INDEX ON i USING spgist (p);
CREATE INDEX ON i USING brin (n);
ALTER SYSTEM RESET full_page_writes;
ALTER SYSTEM RESET wal_compression;
SELECT pg_reload_conf();
