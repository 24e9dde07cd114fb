// Every variant of every error. The library, which alone may match on its enums exhaustively, compiles this list in its
// own tests: one that lacks a variant, or has one too many, is no program. The tests here have to provoke each of them.
variants! {
    Error { InvalidMessage, PeerMisbehaved, Unavailable, Ended }
    InvalidMessage {
        Magic, OldstyleFlags, Length, InnerLength, TrailingBytes, StringTooLong, NotUtf8, HasNul, BlockSizes, EmptyHole,
        EmptyExtent, DescriptorCount, ErrorChunkWithoutError
    }
    PeerMisbehaved {
        WrongOption, UnexpectedOptionReply, AckBeforeExport, FlagsMissing, ClearTextBehindStartTls,
        TlsRequiredInsideTls, TooManyReplies, TooManyReplyBytes, WrongContext, SeveralContexts, ContextIdTwice,
        ExtendedHeadersWithoutGo,
        ClientFlags, OptionNotFixed, ExportNameWithExtendedHeaders, OptionTooLong, TooManyOptions, PayloadTooLong,
        UnknownCookie, ReplyStyle, SimpleReply, WrongChunk, UnknownChunk, NoneNotDone, OutOfBounds, Overlap,
        TooManyFragments, TooManyErrors, Fragmented, ErrorOffsetOutOfBounds, ContextNotAsked, ContextTwice,
        MoreThanOneExtent, ExtentBehindRequest, OffsetEcho, WideFlags
    }
    Unavailable {
        Refused, Tls, ServerRequiresTls, NoSuchExport, ExportNameOnOldstyle, CannotList, TurnedAway, ExportNameRejected
    }
    TlsUnavailable { Oldstyle, NotFixed, ClientNotFixed, Refused }
    Ended { AtBoundary, InMessage, ByUs, GivenUp }
    Refused {
        Option, String, TooMany, QueueFull, Closed, NotOffered, Flags, ReadOnly, OutOfBounds, Answer, NoRange,
        Unaligned, TooLong, Empty, NoContexts, Context
    }
    CommandError { Server, Incomplete, ContextsMissing, StatusTooLarge, Connection }
    Broken { Change, Flush }
    Differs { Size, Flags, BlockSizes, ReplyStyle, Contexts, Tls }
    UriError {
        MissingScheme, UnknownScheme, MissingSlashes, Fragment, InvalidCharacter, InvalidPercentEncoding, NotUtf8, Nul,
        Empty, Password, InvalidHost, InvalidPort, InvalidCid, UnexpectedHost, MissingSocket, UnexpectedSocket,
        ExportNameTooLong, InvalidValue, UnknownParameter, DuplicateParameter
    }
}
