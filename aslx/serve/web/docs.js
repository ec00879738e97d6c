// @ts-expect-error: swagger-ui-bundle.js defines it.
globalThis.SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null });
