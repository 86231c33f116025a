package dicomweb

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
)

// offered describes one resource to those who ask for capabilities.
type offered struct {
	Path    string   `json:"path"`
	Methods []string `json:"methods"`
	Name    string   `json:"transaction"`
	Types   []string `json:"mediaTypes"`
}

var offers = []offered{
	{"/studies", []string{"GET"}, "SearchForStudies", []string{typeDICOMJSON}},
	{"/series", []string{"GET"}, "SearchForSeries", []string{typeDICOMJSON}},
	{"/instances", []string{"GET"}, "SearchForInstances", []string{typeDICOMJSON}},
	{"/studies/{study}/series", []string{"GET"}, "SearchForStudySeries", []string{typeDICOMJSON}},
	{"/studies/{study}/instances", []string{"GET"}, "SearchForStudyInstances", []string{typeDICOMJSON}},
	{"/studies/{study}/series/{series}/instances", []string{"GET"}, "SearchForStudySeriesInstances", []string{typeDICOMJSON}},
	{"/studies", []string{"POST"}, "StoreInstances", []string{typeDICOM}},
	{"/studies/{study}", []string{"POST"}, "StoreStudyInstances", []string{typeDICOM}},
	{"/studies/{study}", []string{"GET", "DELETE"}, "RetrieveStudy", []string{typeDICOM}},
	{"/studies/{study}/metadata", []string{"GET"}, "RetrieveStudyMetadata", []string{typeDICOMJSON}},
	{"/studies/{study}/series/{series}", []string{"GET", "DELETE"}, "RetrieveSeries", []string{typeDICOM}},
	{"/studies/{study}/series/{series}/metadata", []string{"GET"}, "RetrieveSeriesMetadata", []string{typeDICOMJSON}},
	{"/studies/{study}/series/{series}/instances/{instance}", []string{"GET", "DELETE"}, "RetrieveInstance", []string{typeDICOM}},
	{"/studies/{study}/series/{series}/instances/{instance}/metadata", []string{"GET"}, "RetrieveInstanceMetadata", []string{typeDICOMJSON}},
	{"/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}", []string{"GET"}, "RetrieveBulkdata", []string{typeOctetStream}},
	{"/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", []string{"GET"}, "RetrieveFrames", []string{typeOctetStream}},
	{"/wado", []string{"GET"}, "RetrieveInstance", []string{typeDICOM}},
}

// capabilities serves PS3.18 8.9: what the service offers, as WADL or JSON.
func (rq *request) capabilities() error {
	rq.SetHeader("Allow", strings.Join(append(rq.route.methods(), "HEAD", "OPTIONS"), ", "))
	if rq.route.resource != resService {
		rq.NoContent(http.StatusNoContent)
		return nil
	}
	for _, m := range rq.accepts() {
		if m.name == typeWADL || m.name == "application/xml" {
			rq.SetHeader("Content-Type", typeWADL)
			rq.SendBytes(wadl(rq.base))
			return nil
		}
		if m.matches(typeJSON) || m.matches(typeDICOMJSON) {
			break
		}
	}
	body, err := json.Marshal(map[string]any{"service": rq.base, "resources": offers})
	if err != nil {
		return err
	}
	rq.SetHeader("Content-Type", typeJSON)
	rq.SendBytes(body)
	return nil
}

// wadl describes the service in the form of PS3.18 annex H.
func wadl(base string) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<application xmlns="http://wadl.dev.java.net/2009/02"><resources base="`)
	_ = xml.EscapeText(&b, []byte(base)) // a bytes.Buffer takes everything
	b.WriteString(`">`)
	for _, o := range offers {
		b.WriteString(`<resource path="` + strings.TrimPrefix(o.Path, "/") + `">`)
		for _, method := range o.Methods {
			id := o.Name
			if method == "DELETE" {
				id = strings.Replace(id, "Retrieve", "Delete", 1)
			}
			b.WriteString(`<method name="` + method + `" id="` + id + `">`)
			open, end := "<response>", "</response>"
			if method == "POST" {
				open, end = "<request>", "</request>"
			}
			b.WriteString(open)
			for _, t := range o.Types {
				b.WriteString(`<representation mediaType="` + t + `"/>`)
			}
			b.WriteString(end + `</method>`)
		}
		b.WriteString(`</resource>`)
	}
	b.WriteString("</resources></application>\n")
	return b.Bytes()
}
