"""One address: a row of `kinds`, read twice in the transaction of the request (ATOMIC_REQUESTS)."""

from django.http import HttpRequest, JsonResponse
from django.urls import path

from tests.drivers.programs.python.django_project.models import Kind
from tests.drivers.programs.python.harness import plain_row


def kind(request: HttpRequest, number: int) -> JsonResponse:
    """Answer with the row, read twice."""
    return JsonResponse([plain_row(Kind.objects.filter(pk=number).values_list().get()) for _ in range(2)], safe=False)


urlpatterns = [path("kinds/<int:number>", kind)]
