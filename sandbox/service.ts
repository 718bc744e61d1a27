import type { FastifyInstance } from 'fastify';
import type { Call } from './authentication.ts';
import { policyFieldsIn } from './body.ts';
import { type Effect, type Parts, served } from './exchange.ts';
import { notFound, paramError } from './refusal.ts';

const POLICIES = '/v3/inspolicymgr/deduct/policies';

/** The policy service's paths: query, update and upload of a policy. Any other is answered as an unknown one, signed. */
export function service(app: FastifyInstance, parts: Parts): void {
  const { keys, store } = parts;

  const query: Effect = ({ out_insurance_no }) => store.get(String(out_insurance_no));

  const update: Effect = (call) => {
    namesKey(call, keys.wechatpay_public_key_id);
    return store.update(String(call.out_insurance_no), policyFieldsIn(call.body, keys.wechatpay_private_key));
  };

  const upload: Effect = (call) => {
    namesKey(call, keys.wechatpay_public_key_id);
    return store.upload(policyFieldsIn(call.body, keys.wechatpay_private_key));
  };

  app.get(`${POLICIES}/:out_insurance_no`, served(parts, query));
  app.patch(`${POLICIES}/:out_insurance_no`, served(parts, update));
  app.post(POLICIES, served(parts, upload));
  app.setNotFoundHandler(
    served(parts, () => {
      throw notFound('no such path and method here');
    }),
  );
}

function namesKey({ headers }: Call, id: string): void {
  const serial = headers['wechatpay-serial'];
  if (String(serial).toUpperCase() !== id.toUpperCase())
    throw paramError('Wechatpay-Serial', serial ? 'no such key of WeChat Pay' : 'expected, found none', 'header');
}
