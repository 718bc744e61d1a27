/** The search attributes that policies set, registered on every server started here, by the names of Temporal's types. */
export const searchAttributes = {
  PolicyState: 'Keyword',
  PolicySync: 'Keyword',
  PolicyType: 'Keyword',
  MerchantId: 'Keyword',
  PolicyExpiresAt: 'Datetime',
  RenewalOpensAt: 'Datetime',
} as const;
