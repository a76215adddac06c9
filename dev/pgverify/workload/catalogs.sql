-- Catalogs rewritten while a slot watches them; databases copied in both ways; tablespaces.
SELECT pg_create_logical_replication_slot('watch', 'pgoutput');
CREATE TABLE c1 (n int); DROP TABLE c1;
BEGIN; CREATE TABLE c2 (n int, t text); ALTER TABLE c2 ADD d int; CREATE INDEX ON c2 (n); COMMIT;
VACUUM FULL pg_class;
VACUUM FULL pg_attribute;
CLUSTER pg_proc USING pg_proc_oid_index;
VACUUM FULL pg_database;
REINDEX TABLE pg_class;
REINDEX TABLE pg_shdepend;
CREATE TABLE watched (n int) WITH (user_catalog_table = true);
INSERT INTO watched SELECT generate_series(1, 2000);
UPDATE watched SET n = n + 1 WHERE n % 2 = 0;
BEGIN; UPDATE watched SET n = n + 1; DELETE FROM watched WHERE n % 9 = 0; COMMIT;
VACUUM FULL watched;
SELECT pg_drop_replication_slot('watch');

CREATE TABLE filled AS SELECT n, md5(n::text) AS t FROM generate_series(1, 20000) n;
CREATE INDEX ON filled (n);
VACUUM (FREEZE, ANALYZE) filled;
UPDATE filled SET n = 0 WHERE n = 5000;
CREATE DATABASE source;
\connect source
CREATE TABLE inside AS SELECT n, md5(n::text) AS t FROM generate_series(1, 20000) n;
CREATE INDEX ON inside (t);
VACUUM (FREEZE) inside;
UPDATE inside SET n = 0 WHERE n % 5000 = 0;
CREATE UNLOGGED TABLE unlogged AS SELECT generate_series(1, 100);
\connect postgres
CREATE DATABASE logged TEMPLATE source STRATEGY wal_log;
CREATE DATABASE copied TEMPLATE source STRATEGY file_copy;
\connect logged
UPDATE inside SET n = 1 WHERE n % 5001 = 0;
DELETE FROM inside WHERE n > 19000;
VACUUM inside;
\connect copied
UPDATE inside SET n = 1 WHERE n % 5001 = 0;
DELETE FROM inside WHERE n > 19000;
VACUUM inside;
VACUUM FULL pg_class;
\connect postgres
CREATE DATABASE gone TEMPLATE copied STRATEGY wal_log;
DROP DATABASE gone;
CREATE TABLESPACE elsewhere LOCATION '';
CREATE TABLE there (n int PRIMARY KEY) TABLESPACE elsewhere;
INSERT INTO there SELECT generate_series(1, 3000);
ALTER TABLE filled SET TABLESPACE elsewhere;
INSERT INTO filled SELECT n, 'x' FROM generate_series(1, 1000) n;
ALTER TABLE filled SET TABLESPACE pg_default;
ALTER DATABASE copied SET TABLESPACE elsewhere;
\connect copied
INSERT INTO inside SELECT n, 'x' FROM generate_series(1, 1000) n;
\connect postgres
ALTER DATABASE copied SET TABLESPACE pg_default;
DROP TABLE there;
DROP TABLESPACE elsewhere;
