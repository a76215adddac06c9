-- Transactions: nested, prepared, huge, of other origins; and messages that span segments.
CREATE TABLE t (n int PRIMARY KEY, v text);
CREATE FUNCTION nest(count int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..count LOOP
        BEGIN
            INSERT INTO t VALUES (i, 'nested');
            IF i % 10 = 0 THEN RAISE EXCEPTION 'again'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END $$;
SELECT nest(2000 * :scale);
BEGIN; SAVEPOINT a; DELETE FROM t; SAVEPOINT b; INSERT INTO t VALUES (1, 'b'); ROLLBACK TO a; COMMIT;
BEGIN; SELECT nest(100) FROM (SELECT 1 WHERE false) never; ROLLBACK;

BEGIN; CREATE TABLE prepared (n int); INSERT INTO prepared SELECT generate_series(1, 1000);
DROP TABLE IF EXISTS nothing; PREPARE TRANSACTION 'kept';
BEGIN; INSERT INTO t VALUES (-1, 'p'); SAVEPOINT s; INSERT INTO t VALUES (-2, 'p'); PREPARE TRANSACTION 'undone';
COMMIT PREPARED 'kept';
ROLLBACK PREPARED 'undone';
BEGIN; DROP TABLE prepared; PREPARE TRANSACTION 'drops';
COMMIT PREPARED 'drops';
BEGIN; CREATE TABLE never (n int PRIMARY KEY); INSERT INTO never SELECT generate_series(1, 1000); PREPARE TRANSACTION 'never';
ROLLBACK PREPARED 'never';

-- A commit that drops many files, and its counterpart.
DO $$ BEGIN
    FOR i IN 1..100 LOOP EXECUTE format('CREATE TABLE many_%s (n int PRIMARY KEY, t text)', i); END LOOP;
END $$;
BEGIN;
DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE format('DROP TABLE many_%s', i); END LOOP; END $$;
ROLLBACK;
DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE format('DROP TABLE many_%s', i); END LOOP; END $$;

-- Longer than two segments of 1 MiB.
SELECT pg_logical_emit_message(false, 'large', repeat('message', 400000));
SELECT pg_logical_emit_message(true, 'large', repeat('another', 400000));
SELECT pg_create_restore_point('here');
SELECT pg_switch_wal();

-- One transaction per page of commit timestamps and more.
CREATE PROCEDURE commits(count int) LANGUAGE plpgsql AS $$
BEGIN FOR i IN 1..count LOOP INSERT INTO t VALUES (100000 + i, 'c'); COMMIT; END LOOP; END $$;
CALL commits(2000);
SELECT pg_replication_origin_create('elsewhere');
SELECT pg_replication_origin_session_setup('elsewhere');
BEGIN;
SELECT pg_replication_origin_xact_setup('0/1234', '2020-01-01');
INSERT INTO t VALUES (-10, 'from elsewhere');
COMMIT;
BEGIN;
SELECT pg_replication_origin_xact_setup('0/2345', '2020-01-02');
INSERT INTO t VALUES (-11, 'from elsewhere');
PREPARE TRANSACTION 'elsewhere';
COMMIT PREPARED 'elsewhere';
SELECT pg_replication_origin_session_reset();
SELECT pg_replication_origin_advance('elsewhere', '0/9999');
SELECT pg_replication_origin_drop('elsewhere');

BEGIN; INSERT INTO t VALUES (-20, 'still prepared'); PREPARE TRANSACTION 'left';
