"""People who work in the admin, each with one role."""

from django.test import Client

ROLES = ("Support", "Finance", "Operator", "Read-only")


def client_of(role: str) -> Client:
    """A logged-in client of somebody with the role; "none": staff without any permission."""
    from django.contrib.auth.models import Group, User

    person = User.objects.create_user(role.lower(), is_staff=True, is_superuser=role == "superuser")
    if role in ROLES:
        person.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(person)
    return client
