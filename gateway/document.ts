import { createRequire } from 'node:module';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';

type Json = Record<string, unknown>;

const DESCRIPTION = `Opens insurance policies that are kept in step with WeChat Pay, tells what happens to them, and where they stand.
Fields of policies have WeChat Pay's own names. A message is safe to send twice with the same \`Idempotency-Key\`.
What is refused is a problem of RFC 9457: \`rule\` says why. Personal values are masked, but for tokens of the role
\`reveal\` that ask for them.`;

/** Collects the document of the routes that come after. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'wechatpay-policy-sync',
        version: version(),
        description: DESCRIPTION,
        license: { name: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: [
        { name: 'messages', description: 'What happens to a policy.' },
        { name: 'policies', description: 'Where policies stand.' },
        { name: 'gateway', description: 'The gateway itself.' },
      ],
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    },
    transform: jsonSchemaTransform,
    transformObject: (document) => finished(jsonSchemaTransformObject(document) as unknown as Json) as never,
  });
}

/** The page that shows the document; it asks nobody else for anything. */
export async function showDocument(app: FastifyInstance): Promise<void> {
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: CSP,
    uiConfig: { deepLinking: true, docExpansion: 'list', validatorUrl: null, persistAuthorization: false },
  });
}

// Its page sets styles from within, and has pictures in its style sheet.
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/** What the plug-ins do not know: shapes that nobody refers to, and bodies that may be left out. */
function finished(document: Json): Json {
  const { paths, components } = document as {
    paths: Record<string, Record<string, Json>>;
    components: { schemas: Json };
  };
  for (const operation of Object.values(paths).flatMap((of) => Object.values(of))) {
    const body = operation.requestBody as { required?: boolean; content: Record<string, { schema: Json }> } | undefined;
    const required = body?.content['application/json']?.schema.required as unknown[] | undefined;
    const isUnion = body?.content['application/json']?.schema.anyOf !== undefined;
    if (operation.operationId === 'open') namedByPath(body?.content['application/json']?.schema as Shape);
    if (body) body.required = isUnion || (required ?? []).length > 0;
  }
  for (let text = JSON.stringify(document), left = -1; left !== text.length; text = JSON.stringify(document)) {
    left = text.length;
    for (const name of Object.keys(components.schemas))
      if (!text.includes(`"#/components/schemas/${name}"`)) delete components.schemas[name];
  }
  return document;
}

type Shape = { required: string[]; properties: { policy: { required: string[] } } };

/** A record need not say again what the path says. */
function namedByPath(record: Shape): void {
  const without = (name: string, names: string[]): string[] => names.filter((one) => one !== name);
  record.required = without('mchid', record.required);
  record.properties.policy.required = without('out_insurance_no', record.properties.policy.required);
}

function version(): string {
  const about = createRequire(import.meta.url)('wechatpay-policy-sync/package.json') as { version: string };
  return about.version;
}
