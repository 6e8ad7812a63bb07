"""The gRPC servicers: decode, call, encode, no logic. The only place here that knows protobuf."""
