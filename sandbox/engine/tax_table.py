"""What the sandbox's Stripe Tax knows of the world: rates, what a place needs, and tax ids.

A small table with plausible rates, not a tax authority: one rate per place, no thresholds.
"""

# country: (kind of tax, its name, percent)
RATES: dict[str, tuple[str, str, str]] = {
    "AT": ("vat", "VAT", "20"), "BE": ("vat", "VAT", "21"), "BG": ("vat", "VAT", "20"),
    "CY": ("vat", "VAT", "19"), "CZ": ("vat", "VAT", "21"), "DE": ("vat", "VAT", "19"),
    "DK": ("vat", "VAT", "25"), "EE": ("vat", "VAT", "24"), "ES": ("vat", "VAT", "21"),
    "FI": ("vat", "VAT", "25.5"), "FR": ("vat", "VAT", "20"), "GR": ("vat", "VAT", "24"),
    "HR": ("vat", "VAT", "25"), "HU": ("vat", "VAT", "27"), "IE": ("vat", "VAT", "23"),
    "IT": ("vat", "VAT", "22"), "LT": ("vat", "VAT", "21"), "LU": ("vat", "VAT", "17"),
    "LV": ("vat", "VAT", "21"), "MT": ("vat", "VAT", "18"), "NL": ("vat", "VAT", "21"),
    "PL": ("vat", "VAT", "23"), "PT": ("vat", "VAT", "23"), "RO": ("vat", "VAT", "21"),
    "SE": ("vat", "VAT", "25"), "SI": ("vat", "VAT", "22"), "SK": ("vat", "VAT", "23"),
    "AU": ("gst", "GST", "10"), "CH": ("vat", "VAT", "8.1"), "GB": ("vat", "VAT", "20"),
    "JP": ("jct", "JCT", "10"), "NO": ("vat", "VAT", "25"), "NZ": ("gst", "GST", "15"),
    "SG": ("gst", "GST", "9"), "KR": ("vat", "VAT", "10"), "BH": ("vat", "VAT", "10"),
}  # fmt: skip
EU = frozenset(RATES) - {"AU", "BH", "CH", "GB", "JP", "KR", "NO", "NZ", "SG"}
# Where the seller is registered in the United States and Canada; elsewhere there nothing is due.
STATES: dict[tuple[str, str], tuple[str, str, str]] = {
    ("US", "NY"): ("sales_tax", "Sales Tax", "8.875"),
    ("US", "TX"): ("sales_tax", "Sales Tax", "6.25"),
    ("US", "WA"): ("sales_tax", "Sales Tax", "10.35"),
    ("CA", "ON"): ("hst", "HST", "13"),
    ("CA", "BC"): ("gst", "GST", "5"),
}
# The first three digits of a postal code, for those who name no state.
US_PREFIXES = {"NY": ("100", "149"), "TX": ("750", "799"), "WA": ("980", "994")}
# What is never taxed: Stripe's code for it, as it stands on a product.
NONTAXABLE = "txcd_00000000"
# The form of a tax id; the country is the id's first two letters where none is given.
TAX_IDS: dict[str, tuple[str, str]] = {
    "eu_vat": (r"(AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI"
               r"|SK|XI)[0-9A-Z]{8,12}", ""),
    "gb_vat": (r"GB(\d{9}|\d{12}|GD\d{3}|HA\d{3})", "GB"),
    "ch_vat": (r"CHE-?\d{3}\.?\d{3}\.?\d{3} ?(MWST|TVA|IVA)", "CH"),
    "no_vat": (r"\d{9}MVA", "NO"),
    "au_abn": (r"\d{11}", "AU"),
    "nz_gst": (r"\d{8,9}", "NZ"),
    "jp_trn": (r"T\d{13}", "JP"),
    "sg_gst": (r"M?\d{8,9}[A-Z]?", "SG"),
    "us_ein": (r"\d{2}-\d{7}", "US"),
    "ca_bn": (r"\d{9}", "CA"),
}  # fmt: skip
# Digits by which a test says how the authority answers; any other id is verified.
REFUSED, SILENT = "111111111", "222222222"
