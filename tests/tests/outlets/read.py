"""Reads what whywait tells other programs, with those programs' own libraries.

`read.py scrape URL` reads an endpoint in both text formats and prints a JSON object. `read.py receive` is a receiver of OTLP by HTTP: it prints
`listening ADDRESS`, takes what is posted, and answers `GET /said` with a JSON object of what it has been told.
"""

import collections
import http.server
import json
import sys
import urllib.request


def scrape(url):
    from prometheus_client.openmetrics import parser as openmetrics
    from prometheus_client import parser as plain

    def get(accept):
        request = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()

    def look(families):
        counts, sums, states, units, exemplars = {}, {}, collections.Counter(), {}, []
        values = {}
        for family in families:
            units[family.name] = family.unit
            for sample in family.samples:
                route = sample.labels.get("route")
                if sample.name == "whywait_request_duration_seconds_count":
                    counts[route] = sample.value
                elif sample.name == "whywait_request_duration_seconds_sum":
                    sums[route] = sample.value
                elif sample.name == "whywait_request_state_seconds_sum":
                    states[route] += sample.value
                elif route is None and not sample.labels:
                    values[sample.name] = sample.value
                if sample.exemplar and family.name == "whywait_request_duration_seconds":
                    labels = sample.exemplar.labels
                    exemplars.append([labels["trace_id"], labels["span_id"], sample.exemplar.value])
        return {"counts": counts, "sums": sums, "states": states, "values": values, "exemplars": exemplars, "units": units}

    new = look(openmetrics.text_string_to_metric_families(get("application/openmetrics-text; version=1.0.0")))
    old = look(plain.text_string_to_metric_families(get("text/plain")))
    return {"openmetrics": new, "plain": old}


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    metrics = []
    spans = {}

    def log_message(self, *_):
        pass

    def answer(self, body=b""):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/x-protobuf"
        if self.path == "/v1/metrics":
            self.metrics.append(ExportMetricsServiceRequest.FromString(body))
        elif self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.spans.update((span.span_id, span) for span in scope.spans)
        self.answer()

    def do_GET(self):
        # Copies: another thread may be taking the next message meanwhile.
        self.answer(json.dumps(said(list(self.metrics), dict(self.spans))).encode())


def said(messages, spans):
    all_counts, buckets, states, sums = [], {}, collections.Counter(), {}
    exemplars, names = [], set()
    for message in messages:
        counts = {}
        states.clear()
        for resource in message.resource_metrics:
            for metric in resource.scope_metrics[0].metrics:
                names.add(metric.name)
                for point in metric.exponential_histogram.data_points:
                    labels = {pair.key: pair.value.string_value for pair in point.attributes}
                    if metric.name == "whywait.request.duration":
                        counts[labels["route"]] = point.count
                        sums[labels["route"]] = point.sum
                        buckets[labels["route"]] = point.zero_count + sum(point.positive.bucket_counts)
                        exemplars += [
                            [each.trace_id.hex(), each.span_id.hex(), each.as_double] for each in point.exemplars
                        ]
                    elif metric.name == "whywait.request.state":
                        states[labels["route"]] += point.sum
        all_counts.append(counts)
    roots, below = {}, collections.Counter()
    for span in spans.values():
        length = span.end_time_unix_nano - span.start_time_unix_nano
        if span.parent_span_id:
            below[span.parent_span_id.hex()] += length
        else:
            roots[span.span_id.hex()] = [span.trace_id.hex(), length, span.name]
    return {
        "counts": all_counts,
        "sums": sums,
        "states": states,
        "buckets": buckets,
        "exemplars": exemplars,
        "names": sorted(names),
        "roots": roots,
        "below": below,
    }


if __name__ == "__main__":
    if sys.argv[1] == "scrape":
        json.dump(scrape(sys.argv[2]), sys.stdout)
    else:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        print(f"listening 127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()
