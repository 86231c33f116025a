// dicomweb-client, as viewers use it, against a DICOMweb door: the corpus in, found and out again.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
globalThis.XMLHttpRequest = require("xhr2");
const { api } = require("dicomweb-client");

const authorization = "Basic " + Buffer.from(`${process.env.GANTRY_KEY}:${process.env.GANTRY_SECRET}`).toString("base64");
const client = new api.DICOMwebClient({ url: process.env.GANTRY_DICOMWEB, headers: { Authorization: authorization }, verbose: false });
const files = JSON.parse(readFileSync(process.argv[2]));
const sopOf = (m) => m["00080018"].Value[0];
const exact = (b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.length);
const same = (got, want, what) => assert.ok(Buffer.compare(Buffer.from(got), want) === 0, `${what}: ${got.byteLength} bytes, want ${want.length}, or others`);
// The client can't ask for instances as they are stored, so those in other uncompressed syntaxes come as Explicit VR Little Endian.
const converted = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"];
const comesBack = (got, f) => (converted.includes(f.ts) ? assert.ok(Buffer.from(got).toString("latin1", 128, 132) === "DICM", f.path) : same(got, f.bytes, f.path));

// The first file of each SOP Instance UID stays; another with the same data set is welcome, any other is refused.
const kept = new Map();
for (const f of files) {
  f.bytes = readFileSync(f.path);
  try {
    await client.storeInstances({ datasets: [exact(f.bytes)] });
  } catch (err) {
    assert.ok(err.status === 409 && kept.has(f.sop), `store ${f.path}: ${err.status}`);
  }
  if (!kept.has(f.sop)) kept.set(f.sop, f);
}
const studies = new Map(), series = new Map();
for (const f of kept.values()) {
  studies.set(f.study, [...(studies.get(f.study) ?? []), f]);
  series.set(f.study + "/" + f.series, [...(series.get(f.study + "/" + f.series) ?? []), f]);
}

const found = await client.searchForStudies({ queryParams: { limit: 1000 } });
assert.deepEqual(new Set(found.map((s) => s["0020000D"].Value[0])), new Set(studies.keys()));
for (const [study, members] of studies) {
  const [row] = await client.searchForStudies({ queryParams: { StudyInstanceUID: study, includefield: "all" } });
  assert.equal(row["00201208"].Value[0], members.length, "instances of a study");
  const patient = row["00100020"]?.Value?.[0];
  if (patient && !/[*?\\]/.test(patient)) {
    const same = await client.searchForStudies({ queryParams: { PatientID: patient, limit: 1000 } });
    assert.ok(same.some((s) => s["0020000D"].Value[0] === study), "study by its patient's id");
  }
  const rows = await client.searchForSeries({ studyInstanceUID: study });
  assert.deepEqual(new Set(rows.map((s) => s["0020000E"].Value[0])), new Set(members.map((f) => f.series)));
  const metadata = await client.retrieveStudyMetadata({ studyInstanceUID: study });
  assert.deepEqual(new Set(metadata.map(sopOf)), new Set(members.map((f) => f.sop)));
  const instances = await client.retrieveStudy({ studyInstanceUID: study });
  assert.equal(instances.length, members.length);
  const got = new Set(instances.map((b) => Buffer.from(b).toString("latin1")));
  for (const f of members) assert.ok(converted.includes(f.ts) || got.has(f.bytes.toString("latin1")), `${f.path} in its study`);
}
for (const [key, members] of series) {
  const [studyInstanceUID, seriesInstanceUID] = key.split("/");
  const rows = await client.searchForInstances({ studyInstanceUID, seriesInstanceUID, queryParams: { limit: 1000 } });
  assert.deepEqual(new Set(rows.map((r) => r["00080018"].Value[0])), new Set(members.map((f) => f.sop)));
  assert.equal((await client.retrieveSeriesMetadata({ studyInstanceUID, seriesInstanceUID })).length, members.length);
  assert.equal((await client.retrieveSeries({ studyInstanceUID, seriesInstanceUID })).length, members.length);
}

const little = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"];
let frames = 0, bulk = 0;
for (const f of kept.values()) {
  const uids = { studyInstanceUID: f.study, seriesInstanceUID: f.series, sopInstanceUID: f.sop };
  comesBack(await client.retrieveInstance(uids), f);
  const metadata = await client.retrieveInstanceMetadata(uids);
  const m = Array.isArray(metadata) ? metadata[0] : metadata;
  assert.equal(sopOf(m), f.sop);
  assert.ok(!m["00020010"], "group 2 is not metadata");
  const pixels = m["7FE00010"];
  if (pixels?.BulkDataURI) {
    const [data] = await client.retrieveBulkData({ BulkDataURI: pixels.BulkDataURI, mediaTypes: [{ mediaType: "application/octet-stream", transferSyntaxUID: "*" }] });
    assert.ok(data.byteLength > 0, "bulk data");
    if (little.includes(f.ts)) assert.ok(f.bytes.includes(Buffer.from(data)), `${f.path}: bulk data is not the file's`);
    bulk++;
  }
  if (pixels && f.hasFrames) {
    const [frame] = await client.retrieveInstanceFrames({ ...uids, frameNumbers: [1], mediaTypes: [{ mediaType: "application/octet-stream", transferSyntaxUID: "*" }] });
    assert.ok(frame.byteLength > 0, "frame");
    const bits = m["00280100"].Value[0];
    if (little.includes(f.ts) && bits >= 8) {
      assert.ok(f.bytes.includes(Buffer.from(frame)), `${f.path}: frame is not the file's`);
      const samples = m["00280004"].Value[0] === "YBR_FULL_422" ? 2 : m["00280002"].Value[0]; // per pixel
      assert.equal(frame.byteLength, (m["00280010"].Value[0] * m["00280011"].Value[0] * samples * bits) / 8, `${f.path}: size of a frame`);
    }
    const count = Number(m["00280008"]?.Value?.[0] ?? 1);
    await assert.rejects(client.retrieveInstanceFrames({ ...uids, frameNumbers: [count + 1], mediaTypes: [{ mediaType: "application/octet-stream", transferSyntaxUID: "*" }] }), (err) => err.status === 404);
    if (count > 2) {
      const some = await client.retrieveInstanceFrames({ ...uids, frameNumbers: [1, count], mediaTypes: [{ mediaType: "application/octet-stream", transferSyntaxUID: "*" }] });
      assert.equal(some.length, 2);
      same(some[0], Buffer.from(frame), "first frame again");
    }
    frames++;
  }
}
assert.ok(frames > 100 && bulk > 100, `only ${frames} frames and ${bulk} bulk data`);
await assert.rejects(client.retrieveStudy({ studyInstanceUID: "1.2.3.4.5.6.7" }), (err) => err.status === 404);
console.log("done");
