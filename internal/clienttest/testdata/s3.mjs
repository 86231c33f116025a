// The AWS SDK for JavaScript against an S3 door: every call in one bucket.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import * as s3 from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";

const Bucket = "sdk-js";
const client = new s3.S3Client({
  endpoint: process.env.GANTRY_S3,
  region: "us-west-2",
  forcePathStyle: true,
  maxAttempts: 1,
  credentials: { accessKeyId: process.env.GANTRY_KEY, secretAccessKey: process.env.GANTRY_SECRET },
});
const call = (name, input = {}) => client.send(new s3[name + "Command"]({ Bucket, ...input }));
const bytes = async (answer) => Buffer.from(await answer.Body.transformToByteArray());
const etag = (b) => `"${createHash("md5").update(b).digest("hex")}"`;
const same = (got, want, what) => assert.ok(Buffer.compare(got, want) === 0, `${what}: ${got.length} bytes, want ${want.length}, or others`);
const fails = (name, input, ...names) =>
  assert.rejects(call(name, input), (err) => names.includes(err.name) || names.includes(err.$metadata?.httpStatusCode) || assert.fail(`${name}: got ${err.name}, want ${names}`));

await call("CreateBucket");
await call("HeadBucket");
assert.ok((await call("ListBuckets")).Buckets.some((b) => b.Name === Bucket));
await call("GetBucketLocation");

const body = randomBytes(300_001);
for (const Key of ["plain", "a/b c+d", "ünï/日本", "percent%2F?#"]) {
  const put = await call("PutObject", { Key, Body: body, ContentType: "application/dicom", Metadata: { ward: "7" }, CacheControl: "no-store" });
  assert.equal(put.ETag, etag(body));
  const head = await call("HeadObject", { Key });
  assert.deepEqual([head.ETag, head.ContentLength, head.ContentType, head.Metadata.ward, head.CacheControl], [put.ETag, body.length, "application/dicom", "7", "no-store"]);
  same(await bytes(await call("GetObject", { Key })), body, Key);
}
for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "SHA1", "SHA256"]) {
  const Key = "sum/" + ChecksumAlgorithm, field = "Checksum" + ChecksumAlgorithm;
  const put = await call("PutObject", { Key, Body: body, ChecksumAlgorithm });
  assert.ok(put[field]);
  const got = await call("GetObject", { Key, ChecksumMode: "ENABLED" });
  assert.equal(got[field], put[field]);
  same(await bytes(got), body, Key);
}
// A body of unknown content, streamed with a known length: signed or trailed in chunks.
await call("PutObject", { Key: "streamed", Body: Readable.from([body.subarray(0, 100_000), body.subarray(100_000)]), ContentLength: body.length });
same(await bytes(await call("GetObject", { Key: "streamed" })), body, "streamed");

same(await bytes(await call("GetObject", { Key: "plain", Range: "bytes=1000-1999" })), body.subarray(1000, 2000), "range");
await fails("GetObject", { Key: "plain", Range: "bytes=300001-" }, "InvalidRange");
await fails("GetObject", { Key: "none" }, "NoSuchKey");
await fails("HeadObject", { Key: "none" }, "NotFound");
await fails("GetObject", { Key: "plain", IfNoneMatch: etag(body) }, 304);
await fails("GetObject", { Key: "plain", IfMatch: '"0123"' }, "PreconditionFailed");
await fails("PutObject", { Key: "plain", Body: "x", IfNoneMatch: "*" }, "PreconditionFailed");
same(await bytes(await call("GetObject", { Key: "plain" })), body, "after refused put");

await call("CopyObject", { Key: "copied", CopySource: `${Bucket}/${encodeURIComponent("a/b c+d")}`, MetadataDirective: "REPLACE", Metadata: { n: "w" } });
assert.deepEqual((await call("HeadObject", { Key: "copied" })).Metadata, { n: "w" });
same(await bytes(await call("GetObject", { Key: "copied" })), body, "copied");

const large = randomBytes(17 * 2 ** 20 + 5);
const upload = new Upload({ client, params: { Bucket, Key: "uploaded", Body: Readable.from(large), ContentType: "x/up" }, partSize: 5 * 2 ** 20, queueSize: 2 });
assert.match((await upload.done()).ETag, /-4"$/);
const uploaded = await call("GetObject", { Key: "uploaded" });
assert.equal(uploaded.ContentType, "x/up");
same(await bytes(uploaded), large, "uploaded");
same(await bytes(await call("GetObject", { Key: "uploaded", PartNumber: 4 })), large.subarray(15 * 2 ** 20), "part 4");
const attributes = await call("GetObjectAttributes", { Key: "uploaded", ObjectAttributes: ["ETag", "ObjectSize", "ObjectParts"] });
assert.deepEqual([attributes.ObjectSize, attributes.ObjectParts.TotalPartsCount], [large.length, 4]);

const { UploadId } = await call("CreateMultipartUpload", { Key: "parts" });
const first = await call("UploadPart", { Key: "parts", UploadId, PartNumber: 1, Body: large.subarray(0, 5 * 2 ** 20) });
const second = await call("UploadPartCopy", { Key: "parts", UploadId, PartNumber: 2, CopySource: `${Bucket}/uploaded`, CopySourceRange: "bytes=5242880-6000000" });
assert.deepEqual((await call("ListParts", { Key: "parts", UploadId })).Parts.map((p) => p.PartNumber), [1, 2]);
assert.deepEqual((await call("ListMultipartUploads")).Uploads.map((u) => u.UploadId), [UploadId]);
const Parts = [{ PartNumber: 1, ETag: first.ETag, ChecksumCRC32: first.ChecksumCRC32 }, { PartNumber: 2, ETag: second.CopyPartResult.ETag, ChecksumCRC32: second.CopyPartResult.ChecksumCRC32 }];
await call("CompleteMultipartUpload", { Key: "parts", UploadId, MultipartUpload: { Parts } });
same(await bytes(await call("GetObject", { Key: "parts" })), large.subarray(0, 6000001), "parts");
const aborted = await call("CreateMultipartUpload", { Key: "aborted" });
await call("AbortMultipartUpload", { Key: "aborted", UploadId: aborted.UploadId });
await fails("ListParts", { Key: "aborted", UploadId: aborted.UploadId }, "NoSuchUpload");

const keys = [];
for await (const page of s3.paginateListObjectsV2({ client, pageSize: 3 }, { Bucket })) keys.push(...(page.Contents ?? []).map((o) => o.Key));
assert.deepEqual(keys, ["a/b c+d", "copied", "parts", "percent%2F?#", "plain", "streamed", "sum/CRC32", "sum/CRC32C", "sum/SHA1", "sum/SHA256", "uploaded", "ünï/日本"]);
assert.deepEqual((await call("ListObjects", { Delimiter: "/" })).CommonPrefixes.map((p) => p.Prefix), ["a/", "sum/", "ünï/"]);
const deleted = await call("DeleteObjects", { Delete: { Objects: keys.map((Key) => ({ Key })) } });
assert.equal(deleted.Deleted.length, keys.length);
assert.equal((await call("ListObjectsV2")).KeyCount, 0);
await call("DeleteObject", { Key: "plain" });
await call("DeleteBucket");
await fails("HeadBucket", {}, "NotFound");
console.log("done");
