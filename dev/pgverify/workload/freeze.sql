-- Everything is frozen, so that the oldest of transaction status, of commit timestamps and of multixacts
-- goes. The cluster began with counters that are far enough.
CREATE TABLE z (n int);
CREATE PROCEDURE commit_often(count int) LANGUAGE plpgsql AS $$
BEGIN FOR i IN 1..count LOOP INSERT INTO z VALUES (i); COMMIT; END LOOP; END $$;
CALL commit_often(27000);
UPDATE pg_database SET datallowconn = true WHERE datname = 'template0';
\connect template0
VACUUM (FREEZE);
\connect template1
VACUUM (FREEZE);
\connect source
VACUUM (FREEZE);
\connect logged
VACUUM (FREEZE);
\connect copied
VACUUM (FREEZE);
\connect postgres
VACUUM (FREEZE);
UPDATE pg_database SET datallowconn = false WHERE datname = 'template0';
