"""The database itself keeps the ledger of earnings: lines are only added, payouts never overdraw."""

from django.db import migrations

GUARD = """
CREATE FUNCTION billing_refuse_earning_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'earnings are never changed or deleted'
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER billing_earning_is_append_only
    BEFORE UPDATE OR DELETE ON billing_earning
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_earning_change();

CREATE FUNCTION billing_refuse_overdraft() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    balance numeric;
BEGIN
    -- Two payouts of one creator see each other.
    PERFORM 1 FROM billing_creator WHERE id = NEW.creator_id FOR NO KEY UPDATE;
    SELECT coalesce(sum(amount_minor), 0) INTO balance FROM billing_earning
        WHERE creator_id = NEW.creator_id AND currency = NEW.currency;
    IF balance + NEW.amount_minor < 0 THEN
        RAISE EXCEPTION 'a payout of % is more than the balance of %', -NEW.amount_minor, balance
            USING ERRCODE = 'check_violation', CONSTRAINT = 'earning_payout_is_covered';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER billing_earning_payout_is_covered
    BEFORE INSERT ON billing_earning
    FOR EACH ROW WHEN (NEW.kind = 'payout') EXECUTE FUNCTION billing_refuse_overdraft();
"""

LET = """
DROP TRIGGER billing_earning_payout_is_covered ON billing_earning;
DROP FUNCTION billing_refuse_overdraft();
DROP TRIGGER billing_earning_is_append_only ON billing_earning;
DROP FUNCTION billing_refuse_earning_change();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0013_marketplace")]
    operations = [migrations.RunSQL(GUARD, LET)]
