/** `policy/{mchid}/{out_insurance_no}`: the workflow of a policy. */
export function workflowIdOf(mchid: string, outInsuranceNo: string): string {
  return `policy/${mchid}/${outInsuranceNo}`;
}

/** The policy of a workflow's id; undefined where it is the id of no policy's workflow. */
export function policyOf(workflowId: string): { mchid: string; out_insurance_no: string } | undefined {
  const [, mchid, out_insurance_no] = /^policy\/([^/]+)\/([^/]+)$/.exec(workflowId) ?? [];
  return mchid === undefined || out_insurance_no === undefined ? undefined : { mchid, out_insurance_no };
}
