-- What the current schema holds, an object a row: its name, how it is defined, and whose it is. The order of columns
-- does not count, nor what belongs to an extension, nor which parts a table has, nor whom but
-- everybody its owner gives rights; PostgreSQL 18's constraints for NOT NULL are told by the columns.
WITH here AS (SELECT current_schema()::regnamespace AS oid, quote_ident(current_schema()) || '.' AS prefix),
relations AS (
    SELECT c.* FROM pg_class c, here
     WHERE c.relnamespace = here.oid AND NOT c.relispartition
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), tables AS (SELECT * FROM relations WHERE relkind IN ('r', 'p'))

SELECT name, definition,
       concat_ws(', ', owner, 'grants everybody ' || (SELECT string_agg(privilege_type, ', ' ORDER BY privilege_type)
                                                        FROM aclexplode(rights) WHERE grantee = 0))
  FROM (
    SELECT 'table ' || relname,
           concat_ws(', ', array_to_string(reloptions, ', '), CASE relpersistence WHEN 'u' THEN 'unlogged' END,
                     'parts by ' || pg_get_partkeydef(oid),
                     CASE WHEN relrowsecurity THEN 'row security' END, CASE WHEN relforcerowsecurity THEN 'forced' END,
                     'says ' || obj_description(oid, 'pg_class')),
           pg_get_userbyid(relowner), relacl
      FROM tables
    UNION ALL
    SELECT 'column ' || relname || '.' || attname,
           concat_ws(' ', format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NOT NULL' END,
                     'DEFAULT ' || replace(pg_get_expr(adbin, adrelid), here.prefix, ''),
                     'identity ' || nullif(attidentity::text, ''), 'generated ' || nullif(attgenerated::text, ''),
                     'compression ' || nullif(attcompression::text, ''), 'storage ' || nullif(attstorage::text, typstorage::text),
                     'statistics ' || nullif(attstattarget, -1)::text,
                     'collation ' || (SELECT collname FROM pg_collation k WHERE k.oid = nullif(attcollation, typcollation)),
                     'says ' || col_description(attrelid, attnum)),
           NULL, attacl
      FROM here, tables
      JOIN pg_attribute ON attrelid = tables.oid AND attnum > 0 AND NOT attisdropped
      JOIN pg_type ON pg_type.oid = atttypid
      LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    UNION ALL
    SELECT 'constraint ' || conname || ' on ' || relname,
           concat_ws(' ', replace(pg_get_constraintdef(pg_constraint.oid), here.prefix, ''),
                     'says ' || obj_description(pg_constraint.oid, 'pg_constraint')), NULL, NULL
      FROM here, tables JOIN pg_constraint ON conrelid = tables.oid AND contype IN ('c', 'f', 'p', 'u', 'x')
    UNION ALL
    SELECT 'index ' || indexes.relname || ' on ' || tables.relname,
           concat_ws(' ', replace(pg_get_indexdef(indexrelid), here.prefix, ''), CASE WHEN NOT indisvalid THEN 'INVALID' END,
                     'says ' || obj_description(indexrelid, 'pg_class')), NULL, NULL
      FROM here, tables JOIN pg_index ON indrelid = tables.oid JOIN pg_class indexes ON indexes.oid = indexrelid
    UNION ALL
    SELECT 'policy ' || polname || ' on ' || relname,
           concat_ws(' ', polcmd, polpermissive, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)),
           NULL, NULL
      FROM tables JOIN pg_policy ON polrelid = tables.oid
    UNION ALL
    SELECT 'trigger ' || tgname || ' on ' || relname,
           concat_ws(' ', replace(pg_get_triggerdef(pg_trigger.oid), here.prefix, ''), tgenabled), NULL, NULL
      FROM here, relations JOIN pg_trigger ON tgrelid = relations.oid AND NOT tgisinternal
    UNION ALL
    SELECT 'view ' || relname,
           concat_ws(' ', array_to_string(reloptions, ', '), replace(pg_get_viewdef(relations.oid), here.prefix, ''),
                     'says ' || obj_description(relations.oid, 'pg_class')),
           pg_get_userbyid(relowner), relacl
      FROM here, relations WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT 'sequence ' || relname,
           concat_ws(' ', format_type(seqtypid, NULL), seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle),
           pg_get_userbyid(relowner), relacl
      FROM relations JOIN pg_sequence ON seqrelid = relations.oid
    UNION ALL
    SELECT 'function ' || proname || '(' || pg_get_function_arguments(p.oid) || ')',
           concat_ws(' ', prokind, 'returns ' || pg_get_function_result(p.oid), lanname, provolatile, proparallel,
                     CASE WHEN proisstrict THEN 'strict' END, CASE WHEN prosecdef THEN 'security definer' END,
                     CASE WHEN proleakproof THEN 'leakproof' END, procost, prorows,
                     replace(array_to_string(proconfig, ', '), quote_ident(current_schema()), 'this schema'), prosrc,
                     'says ' || obj_description(p.oid, 'pg_proc')),
           pg_get_userbyid(proowner), coalesce(proacl, acldefault('f', proowner))
      FROM here, pg_proc p JOIN pg_language l ON l.oid = prolang
     WHERE pronamespace = here.oid
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'type ' || typname,
           concat_ws(' ', format_type(nullif(typbasetype, 0), typtypmod), CASE WHEN typnotnull THEN 'NOT NULL' END,
                     (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
                     (SELECT string_agg(conname || ' ' || pg_get_constraintdef(k.oid), ', ' ORDER BY conname)
                        FROM pg_constraint k WHERE contypid = t.oid AND contype = 'c')),
           pg_get_userbyid(typowner), NULL
      FROM here, pg_type t WHERE typnamespace = here.oid AND typtype IN ('d', 'e')
    UNION ALL
    SELECT 'statistics ' || stxname, replace(pg_get_statisticsobjdef(s.oid), here.prefix, ''), pg_get_userbyid(stxowner), NULL
      FROM here, pg_statistic_ext s WHERE stxnamespace = here.oid
) AS objects (name, definition, owner, rights)
