package s3

import (
	"maps"
	"slices"

	"gantry/store"
)

// probe answers a question for a configuration that is never there, or always the same. It writes the document, or says
// which error stands for its absence.
type probe func(g *Gateway, x *xmlWriter, b *store.Bucket) error

func absent(c code) probe {
	return func(_ *Gateway, _ *xmlWriter, b *store.Bucket) error {
		return newError(c, "").with("BucketName", b.Name)
	}
}

func empty(name string) probe {
	return func(_ *Gateway, x *xmlWriter, _ *store.Bucket) error {
		x.root(name)
		x.close(name)
		return nil
	}
}

// bucketProbes are the sub-resources of a bucket that can only be read.
var bucketProbes = map[string]probe{
	"accelerate":        empty("AccelerateConfiguration"),
	"acl":               func(_ *Gateway, x *xmlWriter, b *store.Bucket) error { x.accessControl(b.Owner); return nil },
	"cors":              absent(codeNoSuchCORS),
	"encryption":        absent(codeNoSuchEncryption),
	"lifecycle":         absent(codeNoSuchLifecycle),
	"location":          location,
	"logging":           empty("BucketLoggingStatus"),
	"notification":      empty("NotificationConfiguration"),
	"object-lock":       absent(codeNoSuchObjectLock),
	"ownershipControls": ownership,
	"policy":            absent(codeNoSuchBucketPolicy),
	"policyStatus":      absent(codeNoSuchBucketPolicy),
	"publicAccessBlock": absent(codeNoSuchPublicAccess),
	"replication":       absent(codeNoSuchReplication),
	"requestPayment":    requestPayment,
	"tagging":           absent(codeNoSuchTagSet),
	"versioning":        empty("VersioningConfiguration"),
	"website":           absent(codeNoSuchWebsite),
}

func (g *Gateway) probeBucket(r *request) error {
	b, err := g.objects.Bucket(r.Context(), r.bucket)
	if err != nil {
		return err
	}
	sub, _ := r.subresource()
	x := newXML()
	if err := bucketProbes[sub](g, x, &b); err != nil {
		return err
	}
	g.sendXML(r, x)
	return nil
}

func location(g *Gateway, x *xmlWriter, _ *store.Bucket) error {
	x.root("LocationConstraint")
	if g.region != defaultRegion { // which S3 leaves empty
		x.b = appendXML(x.b, g.region)
	}
	x.close("LocationConstraint")
	return nil
}

func ownership(_ *Gateway, x *xmlWriter, _ *store.Bucket) error {
	x.root("OwnershipControls")
	x.open("Rule")
	x.text("ObjectOwnership", "BucketOwnerEnforced")
	x.close("Rule")
	x.close("OwnershipControls")
	return nil
}

func requestPayment(_ *Gateway, x *xmlWriter, _ *store.Bucket) error {
	x.root("RequestPaymentConfiguration")
	x.text("Payer", "BucketOwner")
	x.close("RequestPaymentConfiguration")
	return nil
}

// accessControl writes the only access control list there is: the owner may do everything.
func (x *xmlWriter) accessControl(owner string) {
	x.root("AccessControlPolicy")
	x.owner("Owner", owner)
	x.open("AccessControlList")
	x.open("Grant")
	x.b = append(x.b, `<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">`...)
	x.text("ID", owner)
	x.text("DisplayName", owner)
	x.close("Grantee")
	x.text("Permission", "FULL_CONTROL")
	x.close("Grant")
	x.close("AccessControlList")
	x.close("AccessControlPolicy")
}

// objectProbes are the sub-resources of an object that can only be read.
var objectProbes = map[string]func(x *xmlWriter, info *store.Info) error{
	"acl":        func(x *xmlWriter, info *store.Info) error { x.accessControl(info.Owner); return nil },
	"tagging":    func(x *xmlWriter, info *store.Info) error { x.tagging(info.Tags); return nil },
	"retention":  noObjectLock,
	"legal-hold": noObjectLock,
}

func noObjectLock(*xmlWriter, *store.Info) error {
	return newError(codeInvalidRequest, "Bucket is missing Object Lock Configuration")
}

func (g *Gateway) probeObject(r *request) error {
	if err := r.checkVersion(); err != nil {
		return err
	}
	info, err := g.objects.Head(r.Context(), r.objectKey())
	if err != nil {
		return err
	}
	sub, _ := r.subresource()
	x := newXML()
	if err := objectProbes[sub](x, &info); err != nil {
		return err
	}
	g.sendXML(r, x)
	return nil
}

func (x *xmlWriter) tagging(tags map[string]string) {
	x.root("Tagging")
	x.open("TagSet")
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		x.open("Tag")
		x.text("Key", k)
		x.text("Value", tags[k])
		x.close("Tag")
	}
	x.close("TagSet")
	x.close("Tagging")
}
