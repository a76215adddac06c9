-- Every access method: growth, deletion, pages given back and used again.
CREATE PROCEDURE cycle(name regclass, condition text) LANGUAGE plpgsql AS $$
BEGIN EXECUTE format('DELETE FROM %s WHERE %s', name, condition); END $$;

-- Btree: splits in any order, duplicates, posting lists, pages that empty and come back.
CREATE TABLE b (k int, d int, t text) WITH (autovacuum_enabled = off);
CREATE INDEX b_k ON b (k);
CREATE INDEX b_d ON b (d);
CREATE INDEX b_t ON b (t, k);
CREATE INDEX b_plain ON b (d) WITH (deduplicate_items = off);
INSERT INTO b SELECT (n * 7919) % 100003, n % 50, md5(n::text) FROM generate_series(1, 10000 * :scale) n;
INSERT INTO b SELECT n, 1000, repeat('t', n % 700) FROM generate_series(1, 3000) n;
CALL cycle('b', 'k BETWEEN 20000 AND 90000');
VACUUM b;
CALL cycle('b', 'd BETWEEN 3 AND 40');
VACUUM b;
SELECT txid_current();
VACUUM b;
INSERT INTO b SELECT n * 3, n % 60, md5(n::text) FROM generate_series(1, 10000 * :scale) n;
-- Entries known to be dead make room before a page is split.
CREATE TABLE bd (k int) WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX bd_k ON bd (k);
INSERT INTO bd SELECT n FROM generate_series(1, 2000) n;
SET enable_seqscan = off; SET enable_bitmapscan = off;
DELETE FROM bd WHERE k % 2 = 0;
SELECT count(*) FROM bd WHERE k > 0;
INSERT INTO bd SELECT n FROM generate_series(2, 2000, 2) n;
UPDATE bd SET k = k + 100000;
SELECT count(*) FROM bd WHERE k > 0;
INSERT INTO bd SELECT n FROM generate_series(1, 2000) n;
REINDEX INDEX CONCURRENTLY bd_k;
-- All gone, so that the fast root moves.
DELETE FROM bd; VACUUM bd; VACUUM bd;
INSERT INTO bd SELECT n FROM generate_series(1, 500) n;
DELETE FROM b; VACUUM b; SELECT txid_current(); VACUUM b;
INSERT INTO b SELECT n, n, 'x' FROM generate_series(1, 500) n;

-- Hash: buckets that split, chains that are squeezed, dead entries of a full page.
CREATE TABLE x (k int, v int) WITH (autovacuum_enabled = off);
CREATE INDEX x_k ON x USING hash (k) WITH (fillfactor = 20);
CREATE INDEX x_v ON x USING hash (v);
INSERT INTO x SELECT n, n % 5 FROM generate_series(1, 8000 * :scale) n;
INSERT INTO x SELECT 1, 1 FROM generate_series(1, 3000) n;
DELETE FROM x WHERE v = 2 OR (v = 1 AND k % 3 <> 0) OR ctid::text LIKE '%7)';
VACUUM x;
INSERT INTO x SELECT n, n % 7 FROM generate_series(1, 4000 * :scale) n;
DELETE FROM x WHERE k % 4 <> 1;
VACUUM x;
INSERT INTO x SELECT n, 3 FROM generate_series(1, 3000) n;
-- Long chains in which pages keep some entries: they move to pages before.
CREATE TABLE xm (k int, n int) WITH (autovacuum_enabled = off);
CREATE INDEX xm_k ON xm USING hash (k);
INSERT INTO xm SELECT n % 3, n FROM generate_series(1, 9000 * :scale) n;
DELETE FROM xm WHERE n % 5 < 3;
VACUUM xm;
DELETE FROM xm WHERE n % 2 = 0 OR n < 3000;
VACUUM xm;
INSERT INTO xm SELECT n % 2, n FROM generate_series(1, 6000) n;
DELETE FROM xm WHERE n BETWEEN 1000 AND 1500 OR n > 4000 AND n % 10 < 7;
VACUUM xm;
CREATE TABLE xd (k int, n int) WITH (autovacuum_enabled = off);
CREATE INDEX xd_k ON xd USING hash (k);
INSERT INTO xd SELECT 1, n FROM generate_series(1, 400) n;
DELETE FROM xd WHERE n <= 300;
SELECT count(*) FROM xd WHERE k = 1;
INSERT INTO xd SELECT 1, n FROM generate_series(1, 400) n;
DELETE FROM xd WHERE n % 3 = 0;
SELECT count(*) FROM xd WHERE k = 1;
INSERT INTO xd SELECT 1, n FROM generate_series(1, 600) n;

-- GIN: lists that pend, trees of positions that lose pages in their middle.
CREATE TABLE g (id int, a int[], t text) WITH (autovacuum_enabled = off);
CREATE INDEX g_a ON g USING gin (a) WITH (fastupdate = off);
CREATE INDEX g_t ON g USING gin (t gin_trgm_ops) WITH (fastupdate = on, gin_pending_list_limit = 64);
INSERT INTO g SELECT n, ARRAY[1, 2, n % 10, n], 'word ' || n % 100 FROM generate_series(1, 20000 * :scale) n;
SELECT gin_clean_pending_list('g_t');
DELETE FROM g WHERE id % 3 = 0;
VACUUM g;
DELETE FROM g WHERE id BETWEEN 3000 * :scale AND 17000 * :scale;
VACUUM g;
SELECT txid_current();
INSERT INTO g SELECT n, ARRAY[1, n % 20], 'more ' || n % 50 FROM generate_series(1, 10000) n;
DELETE FROM g WHERE id < 7000;
VACUUM g;
INSERT INTO g SELECT n, ARRAY[n, 2], md5(n::text) FROM generate_series(1, 3000) n;
CREATE INDEX g_a2 ON g USING gin (a);
DELETE FROM g; VACUUM g; VACUUM g;
INSERT INTO g SELECT n, ARRAY[n % 9], 'end' FROM generate_series(1, 1000) n;

-- GiST: built by sorting and by insertion, pages that empty and are used again.
CREATE TABLE s (p point, r int4range, n int) WITH (autovacuum_enabled = off);
CREATE INDEX s_r ON s USING gist (r);
CREATE INDEX s_n ON s USING gist (n);
INSERT INTO s SELECT point(n % 317, n % 211), int4range(n, n + 10), n FROM generate_series(1, 6000 * :scale) n;
CREATE INDEX s_p ON s USING gist (p);
CREATE INDEX s_b ON s USING gist (r) WITH (buffering = on);
DELETE FROM s WHERE n BETWEEN 1000 AND 5000;
VACUUM s;
SELECT txid_current(); SELECT txid_current();
VACUUM s;
INSERT INTO s SELECT point(n, n), int4range(n, n + 2), n FROM generate_series(1, 8000) n;
-- Dead entries go when their page is full.
DELETE FROM s WHERE n % 2 = 0;
SELECT count(*) FROM s WHERE n > 0;
SELECT count(*) FROM s WHERE r && int4range(0, 100000);
SELECT count(*) FROM s WHERE p <@ box(point(0, 0), point(10000, 10000));
INSERT INTO s SELECT point(n, n), int4range(n, n + 2), n FROM generate_series(1, 8000) n;
CREATE TABLE sk (n int, r int4range) WITH (autovacuum_enabled = off);
CREATE INDEX sk_r ON sk USING gist (r);
INSERT INTO sk SELECT n, int4range(n, n + 2) FROM generate_series(1, 4000) n;
DELETE FROM sk WHERE n % 2 = 0;
SELECT count(*) FROM sk WHERE r && int4range(0, 100000);
INSERT INTO sk SELECT n, int4range(n, n + 2) FROM generate_series(1, 4000) n;
DELETE FROM s; VACUUM s; SELECT txid_current(); VACUUM s;
INSERT INTO s SELECT point(n, n), int4range(n, n + 2), n FROM generate_series(1, 2000) n;

-- SP-GiST: prefixes that split, nodes that are added, redirections that vacuum takes away.
CREATE TABLE sp (t text, p point, i inet) WITH (autovacuum_enabled = off);
CREATE INDEX sp_t ON sp USING spgist (t);
CREATE INDEX sp_p ON sp USING spgist (p);
CREATE INDEX sp_k ON sp USING spgist (p kd_point_ops);
CREATE INDEX sp_i ON sp USING spgist (i);
INSERT INTO sp SELECT 'prefix/' || n, point(n % 97, n / 97), ('10.' || n % 200 || '.' || n % 13 || '.1')::inet
    FROM generate_series(1, 5000 * :scale) n;
INSERT INTO sp SELECT md5(n::text), point(-n, n), '::1' FROM generate_series(1, 3000) n;
INSERT INTO sp SELECT 'pre' || chr(33 + n % 90) || n, point(n, 1), '1.2.3.4' FROM generate_series(1, 3000) n;
INSERT INTO sp SELECT repeat('long', 100 + n % 300), point(0, 0), '1.2.3.4' FROM generate_series(1, 100) n;
DELETE FROM sp WHERE t LIKE '%3%';
VACUUM sp;
SELECT txid_current();
INSERT INTO sp SELECT 'prefix/' || n || 'x', point(n % 91, n), '10.0.0.1' FROM generate_series(1, 3000) n;
VACUUM sp;
CREATE TABLE spr (t text); CREATE INDEX spr_t ON spr USING spgist (t);
INSERT INTO spr SELECT 'a' || n FROM generate_series(1, 40) n;
DELETE FROM spr WHERE t LIKE '%1'; VACUUM spr;
DELETE FROM sp; VACUUM sp; SELECT txid_current(); VACUUM sp;

-- BRIN: summaries that grow out of their page, a map that needs a second page.
CREATE TABLE r (n int, t text, f char(200)) WITH (autovacuum_enabled = off, fillfactor = 10);
CREATE INDEX r_n ON r USING brin (n) WITH (pages_per_range = 1, autosummarize = off);
CREATE INDEX r_t ON r USING brin (t) WITH (pages_per_range = 1);
INSERT INTO r SELECT n, 't', 'f' FROM generate_series(1, 5500) n;
SELECT brin_summarize_new_values('r_n'), brin_summarize_new_values('r_t');
UPDATE r SET t = repeat(md5(n::text), 1 + n % 30) WHERE n % 5 = 0;
UPDATE r SET t = repeat('u', 200) WHERE n % 7 = 0;
SELECT brin_desummarize_range('r_n', n) FROM generate_series(0, 100, 10) n;
DELETE FROM r WHERE n > 3000; VACUUM r;
SELECT brin_summarize_range('r_n', 20);
INSERT INTO r SELECT -n, 'z', 'z' FROM generate_series(1, 500) n;

-- Bloom: the pages of an extension, by their differences.
CREATE TABLE o (a int, b int) WITH (autovacuum_enabled = off);
CREATE INDEX o_ab ON o USING bloom (a, b);
INSERT INTO o SELECT n, n % 10 FROM generate_series(1, 5000 * :scale) n;
DELETE FROM o WHERE a % 3 = 0; VACUUM o;
INSERT INTO o SELECT n, n FROM generate_series(1, 3000) n;
