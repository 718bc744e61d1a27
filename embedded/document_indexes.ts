/**
 * SQL of a trigger that makes two indexes for each collection of FerretDB's. It asks PostgreSQL for documents by `@>`, which none of
 * its own indexes can answer, so that each find and update by `_id` would read the whole table.
 */
export const INDEX_DOCUMENTS = `
CREATE FUNCTION index_documents() RETURNS event_trigger LANGUAGE plpgsql AS $body$
DECLARE
  made record;
  field text;
BEGIN
  FOR made IN SELECT objid FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE' LOOP
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = made.objid AND attname = '_jsonb') THEN
      FOREACH field IN ARRAY ARRAY['_id', 'policy'] LOOP
        EXECUTE format('CREATE INDEX ON %s USING gin ((_jsonb->%L) jsonb_path_ops)', made.objid::regclass, field);
      END LOOP;
    END IF;
  END LOOP;
END
$body$;

CREATE EVENT TRIGGER index_documents ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION index_documents();

`;
