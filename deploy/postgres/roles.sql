-- The database's two roles: airline_migrate owns the schema and changes it (`airline-booking migrate`);
-- airline_service reads and writes rows (`airline-booking serve`, `import`, `audit`), and can change
-- no table and no right. Neither is a superuser.
--
-- Run by a superuser in the service's own database, with psql 15 or later, as often as you like: a
-- second run changes the passwords, and takes over tables that another role has made.
--
--   export MIGRATE_PASSWORD=… SERVICE_PASSWORD=…
--   psql --no-psqlrc --host=HOST --username=postgres --dbname=airline_booking --file=deploy/postgres/roles.sql
\set ON_ERROR_STOP on
\getenv migrate_password MIGRATE_PASSWORD
\getenv service_password SERVICE_PASSWORD
BEGIN;

DO $$
BEGIN
    IF to_regrole('airline_migrate') IS NULL THEN
        CREATE ROLE airline_migrate;
    END IF;
    IF to_regrole('airline_service') IS NULL THEN
        CREATE ROLE airline_service;
    END IF;
END
$$;
-- Without the two variables psql leaves their names as they stand, which is no SQL: the run fails.
ALTER ROLE airline_migrate LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'migrate_password';
ALTER ROLE airline_service LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'service_password';

-- Other users of the server have no business here.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('ALTER DATABASE %I OWNER TO airline_migrate', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO airline_service', current_database());
END
$$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO airline_migrate;
GRANT USAGE ON SCHEMA public TO airline_service;

-- What is there already, as in a database that was used before it had these roles.
DO $$
DECLARE
    thing record;
BEGIN
    FOR thing IN
        SELECT c.oid::regclass AS name, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
          FROM pg_class AS c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'S')
           -- A column's own sequence follows its table.
           AND NOT EXISTS (SELECT FROM pg_depend AS d
                            WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                              AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO airline_migrate', thing.kind, thing.name);
    END LOOP;
    FOR thing IN
        SELECT p.oid::regprocedure AS name FROM pg_proc AS p
         WHERE p.pronamespace = 'public'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('ALTER ROUTINE %s OWNER TO airline_migrate', thing.name);
    END LOOP;
END
$$;

-- Rows, not tables: what there is, and what later migrations add.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO airline_service;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO airline_service;
ALTER DEFAULT PRIVILEGES FOR ROLE airline_migrate IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO airline_service;
ALTER DEFAULT PRIVILEGES FOR ROLE airline_migrate IN SCHEMA public
    GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO airline_service;

-- The service renews the statistics of tables that grow quickly; before 17 only their owner may, and
-- autovacuum does it later.
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 170000 THEN
        GRANT MAINTAIN ON ALL TABLES IN SCHEMA public TO airline_service;
        ALTER DEFAULT PRIVILEGES FOR ROLE airline_migrate IN SCHEMA public
            GRANT MAINTAIN ON TABLES TO airline_service;
    END IF;
END
$$;

COMMIT;
