"""Takes spans by OTLP over gRPC, with the service that OpenTelemetry publishes for Python.

python otlp_receiver.py

Its first line is the port. After that there is a line of JSON for each span.
"""

import json
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        for resource in request.resource_spans:
            attributes = resource.resource.attributes
            service = [a.value.string_value for a in attributes if a.key == "service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    told = {
                        "service": service,
                        "name": span.name,
                        "kind": span.kind,
                        "trace": span.trace_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "nanoseconds": span.end_time_unix_nano - span.start_time_unix_nano,
                    }
                    print(json.dumps(told), flush=True)
        return trace_service_pb2.ExportTraceServiceResponse()


server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Receiver(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
