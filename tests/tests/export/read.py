"""Reads exports with the libraries of the tools that they are for.

`read.py FORMAT PATH` prints a JSON object: its requests, as [microseconds since 1970, microseconds of latency, route], and what else the
format says.
"""

import collections
import csv
import datetime
import gzip
import json
import sys
import xml.etree.ElementTree


def perfetto(path):
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

    with open(path, "rb") as file:
        trace = Trace.FromString(file.read())
    clocks, names, parents, threads = {}, {}, {}, set()
    events, sched = [], []
    for packet in trace.packet:
        if packet.HasField("clock_snapshot"):
            clocks = {clock.clock_id: clock.timestamp for clock in packet.clock_snapshot.clocks}
        elif packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            names[track.uuid] = track.name
            parents[track.uuid] = track.parent_uuid
        elif packet.HasField("track_event"):
            events.append((packet.timestamp, packet.track_event))
        elif packet.HasField("process_tree"):
            threads.update(thread.tid for thread in packet.process_tree.threads)
        elif packet.HasField("ftrace_events"):
            cpu = packet.ftrace_events.cpu
            sched += [(event.timestamp, cpu, event) for event in packet.ftrace_events.event]
    # As the trace processor does: by time, in the order of the file where times are the same.
    events.sort(key=lambda event: event[0])
    sched.sort(key=lambda event: event[0])
    to_unix = clocks[1] - clocks[6]
    requests, open_slices, states = [], collections.defaultdict(list), collections.Counter()
    flows = collections.defaultdict(list)
    for at, event in events:
        track = event.track_uuid
        for flow in event.flow_ids:
            flows[flow].append("goes on")
        for flow in event.terminating_flow_ids:
            flows[flow].append("ends")
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            open_slices[track].append((at, event))
        elif event.type == TrackEvent.TYPE_SLICE_END:
            began, begin = open_slices[track].pop()
            if "request" in begin.categories:
                requests.append([(began + to_unix) / 1e3, (at - began) / 1e3, begin.name])
            elif "state" in begin.categories:
                states[begin.name] += at - began
    # The table `sched`: each CPU goes from whom it went to.
    on, since, running, mismatched = {}, {}, collections.Counter(), 0
    wakings = 0
    for at, cpu, event in sched:
        if event.HasField("sched_waking"):
            wakings += event.sched_waking.pid in threads
            continue
        switch = event.sched_switch
        if cpu in on:
            mismatched += on[cpu] != switch.prev_pid
            running[on[cpu]] += at - since[cpu]
        on[cpu], since[cpu] = switch.next_pid, at
    running.pop(0, None)
    return {
        "requests": requests,
        "left_open": sum(map(len, open_slices.values())),
        "states_ns": states,
        "mismatched_switches": mismatched,
        "wakings": wakings,
        "running_ns": running,
        "flows": len(flows),
        "flows_backwards": sum(ends.index("ends") != len(ends) - 1 for ends in flows.values()),
        "counters": sorted({names[e.track_uuid] for _, e in events if e.type == TrackEvent.TYPE_COUNTER}),
        "without_parent": sum(parent != 0 and parent not in names for parent in parents.values()),
    }


def firefox(path):
    with open(path) as file:
        profile = json.load(file)
    began = profile["meta"]["startTime"]
    requests, samples = [], 0
    for thread in profile["threads"]:
        strings = profile.get("shared", {}).get("stringArray") or thread["stringArray"]
        samples += thread["samples"]["length"]
        markers = thread["markers"]
        for place in range(markers["length"]):
            if strings[markers["name"][place]] == "request":
                start, end = markers["startTime"][place], markers["endTime"][place]
                route = markers["data"][place]["route"]
                route = strings[route] if isinstance(route, int) else route
                requests.append([(began + start) * 1e3, (end - start) * 1e3, route])
    return {"requests": requests, "samples": samples, "threads": [t["name"] for t in profile["threads"]]}


def parquet(folder):
    import duckdb
    import pandas

    def rows(query):
        return duckdb.sql(query.replace("$", f"'{folder}/")).fetchall()

    requests = rows("SELECT epoch_ns(start::TIMESTAMP_NS) / 1e3, latency_ns / 1e3, route FROM $requests.parquet'")
    frame = pandas.read_parquet(f"{folder}/requests.parquet")
    by_pandas = [
        [start.value / 1e3, latency / 1e3, route]
        for start, latency, route in zip(frame["start"], frame["latency_ns"], frame["route"])
    ]
    states = dict(rows("SELECT state, sum(duration_ns)::BIGINT FROM $states.parquet' GROUP BY state"))
    running = rows(
        "SELECT thread, sum(duration_ns)::BIGINT FROM $intervals.parquet' WHERE state = 'on_cpu' GROUP BY thread"
    )
    samples = rows(
        "SELECT count(*) FROM $samples.parquet' JOIN $stacks.parquet' USING (stack) WHERE frames LIKE '%demo_servers%'"
    )
    locks = rows("SELECT coalesce(max(waits), 0) FROM $locks.parquet'")
    names = rows("SELECT count(DISTINCT name) FROM $threads.parquet'")
    return {
        "requests": requests,
        "by_pandas": by_pandas,
        "states_ns": states,
        "running_ns": dict(running),
        "samples": samples[0][0],
        "lock_waits": locks[0][0],
        "thread_names": names[0][0],
    }


def unix_us(text):
    """Of a moment in RFC 3339 to the nanosecond, which Python's own dates do not hold."""
    whole, nanos = text.rstrip("Z").split(".")
    seconds = datetime.datetime.fromisoformat(whole + "+00:00").timestamp()
    return seconds * 1e6 + int(nanos) / 1e3


def csv_table(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {"requests": [[unix_us(row["start"]), int(row["latency_ns"]) / 1e3, row["route"]] for row in rows]}


def jsonl(path):
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    states = collections.Counter()
    for line in lines:
        states.update({state: nanos for state, nanos in line["states_ns"].items() if nanos})
    return {
        "requests": [[unix_us(line["start"]), line["latency_ns"] / 1e3, line["route"]] for line in lines],
        "states_ns": states,
    }


def otlp(path):
    from google.protobuf import json_format
    from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

    requests, states = [], collections.Counter()
    with open(path) as file:
        for line in file:
            data = json.loads(line)
            # The one difference between OTLP's JSON and that of protobuf: ids are hexadecimal, not Base64.
            for resource in data["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        for key in ("traceId", "spanId", "parentSpanId"):
                            if key in span:
                                span[key] = base64_of(span[key])
            message = json_format.ParseDict(data, TracesData())
            for span in message.resource_spans[0].scope_spans[0].spans:
                start, length = span.start_time_unix_nano, span.end_time_unix_nano - span.start_time_unix_nano
                if span.kind == Span.SPAN_KIND_SERVER:
                    requests.append([start / 1e3, length / 1e3, span.name])
                else:
                    states[span.name] += length
    return {"requests": requests, "states_ns": states}


def base64_of(digits):
    import base64

    return base64.b64encode(bytes.fromhex(digits)).decode()


def pprof(path):
    """The wire format, by hand: the message has no Python package."""
    with gzip.open(path) as file:
        data = file.read()
    strings, samples = [], []
    for number, value in fields(data):
        if number == 6:
            strings.append(value.decode())
        elif number == 2:
            samples.append(value)
    states = collections.Counter()
    for sample in samples:
        values, labels = [], {}
        for number, value in fields(sample):
            if number == 2:
                values = packed(value)
            elif number == 3:
                label = dict(fields(value))
                labels[strings[label[1]]] = strings[label[2]]
        states[labels["state"]] += values[0]
        assert values[0] == values[1] + values[2], "on and off the CPU are all"
        assert (values[1] > 0) == (labels["state"] == "on_cpu" and values[0] > 0)
    return {"states_ns": states}


def varint(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def packed(data):
    values, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
    return values


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 2:
            length, at = varint(data, at)
            yield key >> 3, data[at : at + length]
            at += length
        else:
            value, at = varint(data, at)
            yield key >> 3, value


def folded(path):
    states = collections.Counter()
    with open(path) as file:
        for line in file:
            stack, micros = line.rsplit(" ", 1)
            states[stack.split(";")[1]] += int(micros) * 1000
    return {"states_ns": states}


def svg(path):
    boxes = xml.etree.ElementTree.parse(path).getroot().findall("{*}g")
    return {"boxes": [box.get("data-n") for box in boxes]}


READERS = {
    "perfetto": perfetto,
    "firefox": firefox,
    "parquet": parquet,
    "csv": csv_table,
    "jsonl": jsonl,
    "otlp": otlp,
    "pprof": pprof,
    "folded": folded,
    "svg": svg,
}
json.dump(READERS[sys.argv[1]](sys.argv[2]), sys.stdout)
