"""The admin's pages about customers that belong to no table."""

from django.urls import path

from billing.admin.see_as import end_see_as, see_as_page

urlpatterns = [
    path("see-as/", see_as_page, name="see-as"),
    path("see-as/end/", end_see_as, name="see-as-end"),
]
