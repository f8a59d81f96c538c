"""The dimensions of an event as the roll-up groups them."""

from django.db import migrations

DIMENSIONS = """
-- Those of the properties that the meter names, if they are plain values.
CREATE FUNCTION metering_dimensions(properties jsonb, names jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN names = '[]' OR properties = '{}' THEN '{}'::jsonb ELSE (
        SELECT coalesce(jsonb_object_agg(name, properties -> name), '{}')
        FROM jsonb_array_elements_text(names) AS name
        WHERE jsonb_typeof(properties -> name) IN ('string', 'number', 'boolean')
    ) END
$$;
"""


class Migration(migrations.Migration):

    dependencies = [("metering", "0002_functions")]

    operations = [migrations.RunSQL(DIMENSIONS, "DROP FUNCTION metering_dimensions")]
