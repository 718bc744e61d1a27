/** Channel options of connections to our own servers: a proxy in the environment is not for loopback. */
export const onLoopback = { 'grpc.enable_http_proxy': 0 };
