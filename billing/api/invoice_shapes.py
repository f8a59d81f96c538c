"""What the endpoints of invoices accept and answer."""

from rest_framework import serializers

from billing.api.subscription_shapes import Fields


class InvoiceShown(Fields):
    id = serializers.CharField(help_text="Stripe's in_...")
    number = serializers.CharField(allow_null=True, help_text="null: a draft.")
    status = serializers.CharField(help_text="draft, open, paid, void or uncollectible")
    user_id = serializers.CharField()
    consumer_id = serializers.CharField()
    project_id = serializers.IntegerField()
    subscription_id = serializers.CharField(allow_null=True)
    amount_minor = serializers.IntegerField(help_text="The total.")
    total_minor = serializers.IntegerField()
    subtotal_minor = serializers.IntegerField(help_text="Before discounts and added tax.")
    discount_minor = serializers.IntegerField()
    tax_minor = serializers.IntegerField(help_text="Part of the total.")
    paid_minor = serializers.IntegerField()
    credited_minor = serializers.IntegerField(help_text="Taken off by credit notes.")
    due_minor = serializers.IntegerField()
    currency = serializers.CharField()
    due_at = serializers.DateTimeField(allow_null=True, help_text="null: charged automatically.")
    created_at = serializers.DateTimeField()
    hosted_url = serializers.CharField(allow_null=True, help_text="Stripe's page to see and pay.")
    pdf_url = serializers.CharField(allow_null=True, help_text="Ages: use .../download.")


class InvoiceList(Fields):
    data = InvoiceShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class InvoiceLineShown(Fields):
    id = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    quantity = serializers.IntegerField(allow_null=True)
    amount_minor = serializers.IntegerField()
    tax_minor = serializers.IntegerField(help_text="On top of the amount, or inside of it.")
    currency = serializers.CharField()
    price_id = serializers.CharField(allow_null=True)
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()


class InvoiceLineList(Fields):
    data = InvoiceLineShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class InvoicePaymentShown(Fields):
    id = serializers.CharField()
    status = serializers.CharField()
    amount_minor = serializers.IntegerField()
    refunded_minor = serializers.IntegerField()
    currency = serializers.CharField()
    failure_message = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class InvoiceTaxShown(Fields):
    tax_rate_id = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_null=True, help_text="null: not named here.")
    percentage = serializers.CharField(allow_null=True)
    country = serializers.CharField(allow_null=True, required=False, default=None)
    reason = serializers.CharField(help_text="standard_rated, reverse_charge, ...")
    inclusive = serializers.BooleanField(help_text="true: the prices hold it.")
    amount_minor = serializers.IntegerField()


class InvoiceDetail(InvoiceShown):
    period_start = serializers.DateTimeField(required=False)
    period_end = serializers.DateTimeField(required=False)
    memo = serializers.CharField(required=False, allow_null=True)
    taxes = InvoiceTaxShown(many=True, help_text="The sums by rate.")
    lines = InvoiceLineList(help_text="The first ones; the rest from .../lines.")
    payments = InvoicePaymentShown(many=True)
    live = serializers.BooleanField(help_text="false: Stripe does not answer; as last seen.")
