"""The admin's pages that belong to no table."""

from django.urls import path

from keystore.admin.lockout import locked_page
from keystore.admin.reveal import reveal
from keystore.admin.second_factor import enrol_page, verify_page
from keystore.admin.stepup import step_up_page

urlpatterns = [
    path("second-factor/", verify_page, name="staff-verify"),
    path("second-factor/enrol/", enrol_page, name="staff-enrol"),
    path("step-up/", step_up_page, name="staff-step-up"),
    path("reveal/<str:label>/<str:pk>/", reveal, name="staff-reveal"),
    path("locked/", locked_page, name="staff-locked"),
]
