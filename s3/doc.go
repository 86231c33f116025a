// Package s3 is the S3 gateway: it speaks the API of Amazon S3 (https://docs.aws.amazon.com/AmazonS3/latest/API/) over a
// store. What it implements, refuses and answers to probes is listed in docs/s3-compatibility.md.
//
// A request goes through Gateway.Handle: the target is cut into bucket and key, a route* function picks the operation, the
// signature is checked (package sigv4), headers that mean something unknown are refused, and the operation runs. Operations
// return errors; WriteError is the one place that turns them into S3's error documents.
package s3
