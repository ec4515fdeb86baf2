"use strict";

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  displayRequestDuration: true,
  // The default asks a server on the internet whether the document is valid.
  validatorUrl: null,
});
