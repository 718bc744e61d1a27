/** For how long, in ms, an attempt of unknown outcome may still land: far above any time that a gateway holds a request. */
export const LANDING = 15 * 60_000;
