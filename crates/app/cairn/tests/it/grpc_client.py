"""Calls a node with stock gRPC clients, made from the published .proto files.

python grpc_client.py PROTO_DIRECTORY WORK_DIRECTORY HOST:PORT TOKEN

It ends without a word when all is well.
"""

import gzip
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
import urllib.request

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

PROTO, WORK, ADDRESS, TOKEN = sys.argv[1:]


def make_clients():
    """What a user types: python -m grpc_tools.protoc …"""
    names = ["dataset", "block", "kv", "function"]
    files = [f"cairn/{name}/v1/{name}.proto" for name in names]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", PROTO]
        + ["--python_out", WORK, "--grpc_python_out", WORK]
        + [os.path.join(PROTO, file) for file in files],
        check=True,
    )
    sys.path.insert(0, WORK)


make_clients()

from cairn.block.v1 import block_pb2, block_pb2_grpc  # noqa: E402
from cairn.dataset.v1 import dataset_pb2, dataset_pb2_grpc  # noqa: E402
from cairn.function.v1 import function_pb2, function_pb2_grpc  # noqa: E402
from cairn.kv.v1 import kv_pb2, kv_pb2_grpc  # noqa: E402

CHANNEL = grpc.insecure_channel(ADDRESS)
DATASETS = dataset_pb2_grpc.DatasetAPIStub(CHANNEL)
BLOCKS = block_pb2_grpc.BlockAPIStub(CHANNEL)
KEYS = kv_pb2_grpc.KvAPIStub(CHANNEL)
FUNCTIONS = function_pb2_grpc.FunctionAPIStub(CHANNEL)
ROOT = (("authorization", f"Bearer {TOKEN}"),)


def target(name, tag):
    return dataset_pb2.Target(name=name, tag=tag)


def refused(code, call, *args, **kwargs):
    """What a call that must fail fails with."""
    try:
        answer = call(*args, **kwargs)
        if hasattr(answer, "__next__"):
            list(answer)
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()}, not {code}: {error.details()}"
        assert error.details(), code
        return error
    raise AssertionError(f"{code} did not come")


def archive(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size, member.mode, member.mtime = len(content), 0o755, 1234567890
                tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def push(name, tags, packed, metadata=ROOT, message=None):
    def parts():
        targets = [target(name, tag) for tag in tags]
        header = dataset_pb2.PushHeader(targets=targets, message=message)
        yield dataset_pb2.PushRequest(header=header)
        for at in range(0, len(packed), 65536):
            yield dataset_pb2.PushRequest(data=packed[at : at + 65536])

    return DATASETS.Push(parts(), metadata=metadata)


def pages(call, field, request, size):
    """All entries of a list, and how many pages they came in."""
    found, count, token = [], 0, ""
    while True:
        request.page_size, request.page_token = size, token
        page = call(request, metadata=ROOT)
        entries = getattr(page, field)
        assert len(entries) <= size
        found.extend(entries)
        count, token = count + 1, page.next_page_token
        if not token:
            return found, count


def download(name, tag, path, offset=0, size=0):
    request = block_pb2.DownloadRequest(
        dataset=dataset_pb2.Dataset(name=name),
        file=block_pb2.File(tag=tag, path=path),
        offset=offset,
        size=size,
    )
    parts = list(BLOCKS.Download(request, metadata=ROOT))
    assert all(len(part.data) <= 65536 for part in parts)
    return parts[0].length, b"".join(part.data for part in parts)


def test_health():
    health = health_pb2_grpc.HealthStub(CHANNEL)
    names = ["dataset.v1.DatasetAPI", "block.v1.BlockAPI", "kv.v1.KvAPI"]
    for service in ["", *(f"cairn.{name}" for name in names)]:
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    unknown = health_pb2.HealthCheckRequest(service="x")
    refused(grpc.StatusCode.NOT_FOUND, health.Check, unknown)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_reflection():
    """A client that has no .proto file calls by what the node says of itself."""
    database = ProtoReflectionDescriptorDatabase(CHANNEL)
    services = set(database.get_services())
    expected = {f"cairn.{name}" for name in ["dataset.v1.DatasetAPI", "block.v1.BlockAPI"]}
    expected |= {"cairn.kv.v1.KvAPI", "grpc.health.v1.Health"}
    assert expected <= services, services
    pool = descriptor_pool.DescriptorPool(database)
    service = pool.FindServiceByName("cairn.dataset.v1.DatasetAPI")
    told = {method.name for method in service.methods}
    published = dataset_pb2.DESCRIPTOR.services_by_name["DatasetAPI"]
    assert told == {method.name for method in published.methods}, told
    method = service.FindMethodByName("Lookup")
    asked = message_factory.GetMessageClass(method.input_type)()
    asked.target.name, asked.target.tag = "tree", "v1"
    lookup = CHANNEL.unary_unary(
        "/cairn.dataset.v1.DatasetAPI/Lookup",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    assert lookup(asked, metadata=ROOT).version.files == len(regular())


RANDOM = random.Random(7)
TREE = {
    "small.txt": b"hello\n",
    "empty": b"",
    "deep/er/big.bin": RANDOM.randbytes(3_000_000),
    "deep/link": "../small.txt",
    **{f"many/file{number:03}": str(number).encode() for number in range(100)},
}


def regular():
    return {name: content for name, content in TREE.items() if isinstance(content, bytes)}


def test_push_and_read():
    packed = archive(TREE)
    pushed = push("tree", ["v1", "latest"], packed, message="a tree")
    assert pushed.version.files == len(regular()) and pushed.skipped == 0
    assert pushed.version.by == "root" and pushed.version.message == "a tree"
    again = push("tree", ["v1"], gzip.compress(packed))
    assert again.version.root == pushed.version.root
    looked = DATASETS.Lookup(dataset_pb2.LookupRequest(target=target("tree", "")), metadata=ROOT)
    assert looked.version == pushed.version
    for name, content in regular().items():
        length, found = download("tree", "v1", name.encode())
        assert (length, found) == (len(content), content), name
    big = TREE["deep/er/big.bin"]
    for offset, size in [(1, 0), (262_143, 2), (2_999_999, 9), (1_000_000, 1_500_000)]:
        _, found = download("tree", "v1", b"deep/er/big.bin", offset, size)
        assert found == big[offset : offset + size if size else None], (offset, size)


def test_lists():
    request = dataset_pb2.ListRequest(target=target("tree", "v1"), path=b"many")
    for size in [7, 50, 100]:
        entries, count = pages(DATASETS.List, "entries", request, size)
        assert [entry.name.decode() for entry in entries] == [
            f"file{number:03}" for number in range(100)
        ]
        assert count == -(-100 // size)
    deep = dataset_pb2.ListRequest(target=target("tree", "v1"), path=b"deep")
    link, directory = sorted(pages(DATASETS.List, "entries", deep, 10)[0], key=lambda e: -e.kind)
    assert link.kind == dataset_pb2.Entry.KIND_SYMLINK and link.target == b"../small.txt"
    assert directory.name == b"er" and (directory.files, directory.size) == (1, 3_000_000)
    for name in ["one", "two", "three"]:
        for tag in ["a", "b", "c"]:
            push(name, [tag], archive({"x": name.encode()}))
    found, count = pages(DATASETS.ListDatasets, "datasets", dataset_pb2.ListDatasetsRequest(), 2)
    assert [one.dataset.name for one in found] == ["one", "three", "tree", "two"], found
    assert count == 2
    tags = dataset_pb2.ListTagsRequest(dataset=dataset_pb2.Dataset(name="two"))
    found, count = pages(DATASETS.ListTags, "tags", tags, 2)
    assert [tag.tag for tag in found] == ["a", "b", "c"] and count == 2
    for number in range(3):
        push("two", ["a"], archive({"x": bytes([number])}))
    history = dataset_pb2.HistoryRequest(target=target("two", "a"))
    found, count = pages(DATASETS.History, "versions", history, 3)
    assert len({version.root for version in found}) == 4 and count == 2
    tags.page_token = "AAAAAAAAAAAAAAAA"
    refused(grpc.StatusCode.INVALID_ARGUMENT, DATASETS.ListTags, tags, metadata=ROOT)


def test_uploads():
    begin = block_pb2.BeginRequest(targets=[target("tree", "up")])
    begun = BLOCKS.Begin(begin, metadata=ROOT)
    assert len(begun.key) == 32
    chunk = bytes(32)
    missing = block_pb2.MissingRequest(upload=begun.upload, ids=[chunk])
    assert list(BLOCKS.Missing(missing, metadata=ROOT).ids) == [chunk]

    def wrong():
        poison = block_pb2.Chunk(id=chunk, data=b"poison")
        yield block_pb2.UploadRequest(upload=begun.upload, chunk=poison)

    refused(grpc.StatusCode.INVALID_ARGUMENT, BLOCKS.Upload, wrong(), metadata=ROOT)
    publish = dataset_pb2.PublishUpload(upload=begun.upload, root=chunk)
    publish = dataset_pb2.PublishRequest(upload=publish)
    refused(grpc.StatusCode.FAILED_PRECONDITION, DATASETS.Publish, publish, metadata=ROOT)
    again = BLOCKS.Begin(begin, metadata=ROOT)
    BLOCKS.Keep(block_pb2.KeepRequest(upload=again.upload), metadata=ROOT)
    BLOCKS.Abandon(block_pb2.AbandonRequest(upload=again.upload), metadata=ROOT)
    keep = block_pb2.KeepRequest(upload=again.upload)
    refused(grpc.StatusCode.NOT_FOUND, BLOCKS.Keep, keep, metadata=ROOT)


def test_errors():
    asked = dataset_pb2.LookupRequest(target=target("nothing", "v1"))
    error = refused(grpc.StatusCode.NOT_FOUND, DATASETS.Lookup, asked, metadata=ROOT)
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(error).details[0].Unpack(info)
    assert (info.reason, info.domain) == ("NOT_FOUND", "cairn")
    metadata = [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
    assert len(dict(metadata)["x-request-id"]) == 16, metadata
    refused(grpc.StatusCode.UNAUTHENTICATED, DATASETS.Lookup, asked)
    wrong = (("authorization", f"Bearer {TOKEN[:-1]}x"),)
    refused(grpc.StatusCode.UNAUTHENTICATED, DATASETS.Lookup, asked, metadata=wrong)
    refused(grpc.StatusCode.INVALID_ARGUMENT, push, "two", ["d"], b"no tar at all" * 100)


def rest(method, path, body=None):
    """What gRPC has no call for is asked of REST, on the same port."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{ADDRESS}/api/v1{path}", data, method=method)
    request.add_header("authorization", f"Bearer {TOKEN}")
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b"null")


def test_follow():
    rest("POST", "/access/principals", {"name": "reader"})
    rest("POST", "/access/grants", {"subject": "reader", "role": "reader", "pattern": "followed"})
    made = rest("POST", "/access/tokens", {"principal": "reader", "label": "x"})
    reader = (("authorization", f"Bearer {made['token']}"),)
    asked = dataset_pb2.FollowRequest(target=target("followed", "v1"))
    stream = DATASETS.Follow(asked, metadata=reader)
    assert not next(stream).HasField("version")
    for content in [b"one", b"two", b"three"]:
        pushed = push("followed", ["v1"], archive({"x": content}))
        assert next(stream).version == pushed.version
    refused(grpc.StatusCode.PERMISSION_DENIED, push, "followed", ["v1"], b"", metadata=reader)
    other = dataset_pb2.FollowRequest(target=target("two", "a"))
    refused(grpc.StatusCode.PERMISSION_DENIED, DATASETS.Follow, other, metadata=reader)
    # The stream waits; nothing but the revocation ends it.
    revoke = threading.Thread(target=rest, args=("DELETE", f"/access/tokens/{made['info']['id']}"))
    revoke.start()
    refused(grpc.StatusCode.UNAUTHENTICATED, lambda: stream)
    revoke.join()


CARTS = kv_pb2.Namespace(name="carts")


def put(key, value, **more):
    asked = kv_pb2.PutRequest(namespace=CARTS, key=key, value=value, **more)
    return KEYS.Put(asked, metadata=ROOT).seq


def get(key, **more):
    asked = kv_pb2.GetRequest(namespace=CARTS, key=key, **more)
    return KEYS.Get(asked, metadata=ROOT)


def scan(**more):
    parts = KEYS.Scan(kv_pb2.ScanRequest(namespace=CARTS, **more), metadata=ROOT)
    return [entry for part in parts for entry in part.entries]


def test_keys():
    create = kv_pb2.CreateNamespaceRequest(namespace=CARTS)
    assert KEYS.CreateNamespace(create, metadata=ROOT).info.settings.durable == kv_pb2.DURABLE_LOG
    refused(grpc.StatusCode.ALREADY_EXISTS, KEYS.CreateNamespace, create, metadata=ROOT)
    assert not get(b"a").HasField("entry")
    absent = kv_pb2.Condition(absent=True)
    assert put(b"a", b"\xff\x00", condition=absent) == 1
    error = refused(grpc.StatusCode.ABORTED, put, b"a", b"x", condition=absent)
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(error).details[0].Unpack(info)
    assert (info.reason, dict(info.metadata)) == ("CONFLICT", {"found": "1"}), info
    assert put(b"a", b"2", condition=kv_pb2.Condition(seq=1), durable=kv_pb2.DURABLE_BUCKET) == 2
    assert get(b"a").entry.value == b"2" and get(b"a", at_seq=1).entry.value == b"\xff\x00"
    ops = [kv_pb2.Op(put=kv_pb2.Put(key=b"b%04d" % at, value=b"v")) for at in range(3000)]
    commit = kv_pb2.CommitRequest(namespace=CARTS, ops=[*ops, kv_pb2.Op(delete=b"a")])
    assert KEYS.Commit(commit, metadata=ROOT).seq == 3
    assert [entry.key for entry in scan()] == [b"b%04d" % at for at in range(3000)]
    tens = kv_pb2.KeyRange(**{"from": b"b0010", "to": b"b0020"})
    assert [entry.key for entry in scan(range=tens, limit=1, reverse=True)] == [b"b0019"]
    remove = kv_pb2.DeleteRangeRequest(namespace=CARTS, range=kv_pb2.KeyRange(prefix=b"b"))
    assert KEYS.DeleteRange(remove, metadata=ROOT).seq == 4
    assert scan() == []
    # Another door shows the same.
    put(b"shared", b"1", ttl_ms=3_600_000)
    assert rest("GET", "/kv/main/carts/scan")["entries"][0]["value"] == "1"


def test_stream_of_commits():
    """Many commits under way at once, and a watch that tells all of them."""
    count, first = 12_000, get_info().seq + 1
    watch = kv_pb2.WatchRequest(namespace=CARTS, after=first - 1)
    watch = KEYS.Watch(watch, metadata=ROOT)

    def commits():
        for number in range(count):
            op = kv_pb2.Op(put=kv_pb2.Put(key=b"n", value=b"%d" % number))
            none = kv_pb2.Condition(key=b"n", absent=True)
            conditions = [none] if number % 1000 == 999 else []
            yield kv_pb2.WriteRequest(id=number, namespace=CARTS, ops=[op], conditions=conditions)

    seq = first
    for number, answer in enumerate(KEYS.Write(commits(), metadata=ROOT)):
        assert answer.id == number
        if number % 1000 == 999:
            assert answer.error.code == grpc.StatusCode.ABORTED.value[0], answer
            assert answer.error.found == seq - 1, answer
        else:
            assert answer.seq == seq, (answer, seq)
            seq += 1
    assert (number, seq) == (count - 1, first + count - count // 1000)
    assert get(b"n").entry.value == b"%d" % (count - 2)
    told = []
    for part in watch:
        told.extend(change.seq for change in part.changes)
        if part.position >= seq - 1:
            break
    watch.cancel()
    assert told == list(range(first, seq))


def get_info():
    return KEYS.GetNamespace(kv_pb2.GetNamespaceRequest(namespace=CARTS), metadata=ROOT).info


def function(name):
    return function_pb2.Function(name=name)


def test_functions():
    """`hello` answers requests, `upper` is a program."""
    asked = function_pb2.Input(body=b"so it is", path="/echo", media_type="text/plain")
    invoke = function_pb2.InvokeRequest(function=function("hello"), input=asked)
    answer = FUNCTIONS.Invoke(invoke, metadata=ROOT)
    assert (answer.status, answer.output) == (200, b"so it is"), answer
    header = function_pb2.Header(name="x-asked", value=b"yes")
    seen = function_pb2.Input(path="/headers")
    invoke = function_pb2.InvokeRequest(function=function("hello"), input=seen, headers=[header])
    assert b'("x-asked", "yes")' in FUNCTIONS.Invoke(invoke, metadata=ROOT).output
    for name in ["host", "cairn-caller", "a b"]:
        wrong = [function_pb2.Header(name=name, value=b"x")]
        invoke = function_pb2.InvokeRequest(function=function("hello"), headers=wrong)
        refused(grpc.StatusCode.INVALID_ARGUMENT, FUNCTIONS.Invoke, invoke, metadata=ROOT)
    files = ["api://output", "api://input"]
    asked = function_pb2.Input(body=b"small", arguments=files)
    invoke = function_pb2.InvokeRequest(function=function("upper"), input=asked)
    answer = FUNCTIONS.Invoke(invoke, metadata=ROOT)
    assert (answer.status, answer.exit, answer.output) == (0, 0, b"SMALL"), answer
    none = function_pb2.InvokeRequest(function=function("none"))
    refused(grpc.StatusCode.NOT_FOUND, FUNCTIONS.Invoke, none, metadata=ROOT)
    begin = function_pb2.BeginRequest(
        function=function("upper"), input=asked, idempotency_key=b"once"
    )
    first = FUNCTIONS.Begin(begin, metadata=ROOT).call
    assert FUNCTIONS.Begin(begin, metadata=ROOT).call.id == first.id
    get = function_pb2.GetRequest(function=function("upper"), id=first.id, wait_seconds=60)
    found = FUNCTIONS.Get(get, metadata=ROOT)
    assert (found.call.state, found.call.succeeded) == (function_pb2.STATE_DONE, True), found
    assert found.output == b"SMALL", found
    refused(grpc.StatusCode.UNAUTHENTICATED, FUNCTIONS.Get, get)
    get.id = "00" * 16
    refused(grpc.StatusCode.NOT_FOUND, FUNCTIONS.Get, get, metadata=ROOT)


test_health()
test_push_and_read()
test_reflection()
test_lists()
test_uploads()
test_errors()
test_follow()
test_functions()
test_keys()
test_stream_of_commits()
