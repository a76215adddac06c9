-- What the other scripts share.
CREATE EXTENSION dblink;
CREATE EXTENSION bloom;
CREATE EXTENSION btree_gist;
CREATE EXTENSION pageinspect;
CREATE EXTENSION pg_trgm;
ALTER SYSTEM SET allow_in_place_tablespaces = on;
SELECT pg_reload_conf();

-- Sessions beside this one, to hold transactions open.
CREATE FUNCTION sessions(count int) RETURNS void LANGUAGE sql AS $$
    SELECT dblink_connect('s' || n, format('host=%s port=%s dbname=%s user=postgres',
        current_setting('unix_socket_directories'), current_setting('port'), current_database()))
    FROM generate_series(1, count) n
$$;
