"""Upstream's rows about lists in pages, and about forms that a resource does not have."""

from __future__ import annotations

from served import TABLE, Document, Served, pod, served

TEMPLATES = "/api/v1/namespaces/default/podtemplates"
TOTAL = 400
PAGE = TOTAL // 10
# Upstream looks for a token's end for twice the time between compactions
LOOK_SECONDS = 20
EXPIRY_SECONDS = 600
TABLE_ALONE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def filled(api: Served) -> None:
    """Creates many objects whose names say in which order they come."""
    for number in range(TOTAL):
        made = {
            "metadata": {"name": f"template-{number:04}"},
            "template": {"spec": pod("x")["spec"]},
        }
        (await api.post(TEMPLATES, made)).ok()


async def pages(api: Served, found: int, token: str, sizes: list[int]) -> tuple[int, set[str]]:
    """Reads on from a token until there is none; returns how many came and at which revisions."""
    revisions = set()
    turn = 0
    while True:
        limit = sizes[turn % len(sizes)]
        more = {"continue": token} if token else {}
        answer = await api.get(TEMPLATES, limit=str(limit), **more)
        items, metadata = answer.ok()["items"], answer.document["metadata"]
        revisions.add(metadata["resourceVersion"])
        assert len(items) <= limit
        names = [f"template-{number:04}" for number in range(found, found + len(items))]
        assert answer.names == names
        found += len(items)
        check_remaining(metadata, found)
        token = metadata.get("continue", "")
        turn += 1
        if not token:
            return found, revisions


def check_remaining(metadata: Document, found: int) -> None:
    """Checks how much is said to remain: nothing is said where nothing does."""
    remaining = metadata.get("remainingItemCount")
    assert remaining == (TOTAL - found if metadata.get("continue") else None)


@served
async def test_pages_of_any_size_make_up_one_list_of_one_revision(api: Served) -> None:
    await filled(api)
    for sizes in ([1, 40, 17], [39, 2], [23]):
        found, revisions = await pages(api, 0, "", sizes)
        assert (found, len(revisions)) == (TOTAL, 1)
    assert len((await api.get(TEMPLATES, limit=str(TOTAL + 1))).names) == TOTAL


@served
async def test_an_expired_token_comes_with_one_that_goes_on_at_another_revision(
    api: Served,
) -> None:
    await filled(api)
    first = await api.get(TEMPLATES, limit=str(PAGE))
    check_remaining(first.ok()["metadata"], PAGE)
    token = first.document["metadata"]["continue"]
    answer = first
    for _ in range(EXPIRY_SECONDS // LOOK_SECONDS):
        await api.world.sleep(LOOK_SECONDS)
        (await api.patch(f"{TEMPLATES}/template-0000", tick(api))).ok()
        answer = await api.get(TEMPLATES, limit=str(PAGE), **{"continue": token})
        if answer.code != 200:
            break
    assert (answer.code, answer.document["reason"]) == (410, "Expired")
    inconsistent = answer.document["metadata"]["continue"]
    found, revisions = await pages(api, PAGE, inconsistent, [PAGE])
    assert (found, len(revisions)) == (TOTAL, 1)
    assert revisions != {first.revision}


def tick(api: Served) -> Document:
    """Returns a patch that changes something each time."""
    return {"metadata": {"annotations": {"at": str(api.world.now())}}}


@served
async def test_a_review_has_no_form_as_a_table(api: Served) -> None:
    spec = {"nonResourceAttributes": {"path": "/", "verb": "get"}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = await api.post(path, {"spec": spec}, accept=TABLE_ALONE)
    assert (answer.code, answer.document["reason"]) == (406, "NotAcceptable")
    assert (await api.post(path, {"spec": spec}, accept=TABLE)).ok()["status"] == {"allowed": True}
    assert (await api.get("/api/v1/componentstatuses", accept=TABLE_ALONE)).ok()["kind"] == "Table"
