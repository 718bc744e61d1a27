/** `policy/{mchid}/{out_insurance_no}`: the workflow of a policy. */
export function workflowIdOf(mchid: string, outInsuranceNo: string): string {
  return `policy/${mchid}/${outInsuranceNo}`;
}
