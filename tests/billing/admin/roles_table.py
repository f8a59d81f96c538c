"""What docs/security.md says about the roles, from the roles themselves."""

NAMES = ("Read-only", "Support", "Finance", "Operator")


def roles_table() -> str:
    """One line per act that not everybody may do: what it is, and whose it is."""
    from django.contrib.auth.models import Permission

    found = Permission.objects.filter(group__name__in=NAMES).exclude(codename__startswith="view_")
    found |= Permission.objects.filter(codename__in=("view_personal_data", "view_mirror"),
                                       group__name__in=NAMES)  # fmt: skip
    lines = ["| act | " + " | ".join(NAMES) + " |", "|---|" + "---|" * len(NAMES)]
    for one in found.distinct().order_by("content_type__app_label", "codename"):
        holders = set(one.group_set.values_list("name", flat=True))
        marks = " | ".join("yes" if name in holders else "" for name in NAMES)
        act = one.name.removeprefix("Can ")
        lines.append(f"| {act} (`{one.content_type.app_label}.{one.codename}`) | {marks} |")
    return "\n".join(lines)
