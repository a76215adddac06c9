-- Heaps: rows of every kind of change, chains that are locked, visibility maps, truncation.
SELECT sessions(3);
CREATE TABLE h (id int PRIMARY KEY, k int, t text) WITH (autovacuum_enabled = off);
INSERT INTO h SELECT n, n % 100, repeat(md5(n::text), 1 + n % 8)
    FROM generate_series(1, 3000 * :scale) n;
VACUUM h;
-- Clears bits of the visibility map: by insertion, update to another page, deletion and lock.
INSERT INTO h SELECT -n, n, 'new' FROM generate_series(1, 200) n;
UPDATE h SET t = repeat('x', 500) WHERE id % 37 = 0;
UPDATE h SET k = k + 1 WHERE id % 41 = 0;
DELETE FROM h WHERE id % 43 = 0;
VACUUM (FREEZE) h;
SELECT count(*) FROM (SELECT 1 FROM h WHERE id % 47 = 0 FOR UPDATE) locked;
VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) h;
COPY (SELECT 1000000 + n, n, 'copied' FROM generate_series(1, 2000) n) TO '/dev/null';
CREATE TABLE m (LIKE h);
INSERT INTO m SELECT * FROM h;
COPY m FROM PROGRAM 'seq -f "%.0f	1	line" 1 5000';
VACUUM m;
COPY m FROM PROGRAM 'seq -f "%.0f	1	line" 1 5000';

-- Speculative insertion, confirmed and given up.
INSERT INTO h VALUES (1, 1, 'there') ON CONFLICT (id) DO UPDATE SET k = 0;
INSERT INTO h VALUES (5000001, 1, 'not there') ON CONFLICT DO NOTHING;
CREATE UNIQUE INDEX h_abort ON h ((id / 1));
SELECT dblink_exec('s1', 'BEGIN');
SELECT dblink_exec('s1', 'INSERT INTO h VALUES (5000002, 1, ''first'')');
SELECT dblink_send_query('s2', 'INSERT INTO h VALUES (5000002, 1, ''second'') ON CONFLICT DO NOTHING');
SELECT dblink_exec('s1', 'COMMIT');
SELECT * FROM dblink_get_result('s2') AS r (status text);
SELECT * FROM dblink_get_result('s2') AS r (status text);

-- A row that another transaction has updated without touching its key, locked along its chain.
SELECT dblink_exec('s1', 'BEGIN');
SELECT dblink_exec('s1', 'UPDATE h SET k = k + 7 WHERE id BETWEEN 100 AND 400');
BEGIN;
SELECT count(*) FROM (SELECT 1 FROM h WHERE id BETWEEN 100 AND 400 FOR KEY SHARE) locked;
SELECT dblink_exec('s2', 'BEGIN');
SELECT count(*) FROM dblink('s2',
    'SELECT id FROM h WHERE id BETWEEN 150 AND 300 FOR KEY SHARE') AS r (id int);
SELECT dblink_exec('s1', 'COMMIT');
SELECT dblink_exec('s2', 'COMMIT');
COMMIT;
-- The same where the chain's pages are all frozen, and a lock on a version that is not the newest.
VACUUM (FREEZE) h;
SELECT dblink_exec('s1', 'BEGIN ISOLATION LEVEL REPEATABLE READ');
SELECT * FROM dblink('s1', 'SELECT count(*) FROM h') AS r (n bigint);
UPDATE h SET k = k + 1, t = repeat('y', 300) WHERE id BETWEEN 500 AND 900;
VACUUM (FREEZE) h;
SELECT count(*) FROM dblink('s1',
    'SELECT id FROM h WHERE id BETWEEN 500 AND 900 FOR KEY SHARE') AS r (id int);
SELECT dblink_exec('s1', 'COMMIT');

-- Several lockers of one row, of different strengths, and an updater among them.
SELECT dblink_exec('s1', 'BEGIN');
SELECT dblink_exec('s2', 'BEGIN');
SELECT count(*) FROM dblink('s1', 'SELECT id FROM h WHERE id <= 300 AND id > 0 FOR KEY SHARE') AS r (id int);
SELECT count(*) FROM dblink('s2', 'SELECT id FROM h WHERE id <= 300 AND id > 0 FOR SHARE') AS r (id int);
SELECT dblink_exec('s2', 'COMMIT');
UPDATE h SET k = k - 1 WHERE id <= 200 AND id > 0;
SELECT dblink_exec('s1', 'ROLLBACK');
VACUUM (FREEZE) h;

-- The tail goes; what follows is new.
DELETE FROM h WHERE id > 1500 * :scale;
VACUUM (TRUNCATE) h;
INSERT INTO h SELECT 7000000 + n, n, repeat('z', 100) FROM generate_series(1, 1000) n;
VACUUM h;
DELETE FROM m;
VACUUM (TRUNCATE) m;
INSERT INTO m SELECT n, n, 'again' FROM generate_series(1, 3000) n;
VACUUM (FREEZE) m;
TRUNCATE h, m;
INSERT INTO h SELECT n, n, 'after' FROM generate_series(1, 2000) n;
BEGIN; TRUNCATE h; INSERT INTO h VALUES (1, 1, 'x'); ROLLBACK;

-- Wide rows, prefixes and suffixes that an update keeps, dropped columns.
CREATE TABLE w (id int, a text, b text, c numeric);
ALTER TABLE w ALTER a SET STORAGE EXTERNAL;
INSERT INTO w SELECT n, repeat(md5(n::text), 300), repeat('w', 1000), n FROM generate_series(1, 100 * :scale) n;
UPDATE w SET c = -c;
UPDATE w SET a = left(a, 5000) || 'middle' || right(a, 3000) WHERE id % 3 = 0;
ALTER TABLE w DROP COLUMN b, ADD COLUMN d int DEFAULT 7;
UPDATE w SET d = id;
VACUUM FULL w;
CREATE INDEX w_id ON w (id DESC);
CLUSTER w USING w_id;
CREATE UNLOGGED TABLE u AS SELECT n FROM generate_series(1, 2000) n;
CREATE INDEX u_n ON u (n);
CREATE MATERIALIZED VIEW v AS SELECT * FROM w;
REFRESH MATERIALIZED VIEW v;
CREATE SEQUENCE q CACHE 3;
SELECT count(nextval('q')) FROM generate_series(1, 500);
SELECT setval('q', 9999);
ALTER SEQUENCE q RESTART;
