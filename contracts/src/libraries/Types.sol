// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

// What people sign (SPEC section 3), what the chain stores (section 6) and what callers prove (sections 4 to 6).
// Amounts are in units: `UNIT` base units of the token. Times are seconds.

struct Params {
    uint32 maxNewTokens;
    uint32 temperatureMilli;
    uint32 topPPpm;
    uint64 seed;
}

struct Terms {
    bytes32 workloadId;
    bytes32 promptRoot;
    bytes32 textsHash;
    Params params;
    uint8 comparator;
    uint8 copies;
    uint8 visibility;
    uint64 fixedPrice;
    uint64 unitPrice;
    uint64 maxPrice;
    uint40 deadline;
    uint64 salt;
}

struct Order {
    address requester;
    uint64 spendCap;
    Terms terms;
}

struct Commitment {
    bytes32 orderId;
    address node;
    bytes32 outputRoot;
    bytes32 traceCommit;
    uint32 units;
}

struct Verdict {
    bytes32 commitmentDigest;
    address verifier;
    bytes32 answerCommit;
}

/// @dev One slot. `expiry` is zero for a requester's own lane and for a session lane that was never opened.
struct Lane {
    uint64 balanceUnits;
    uint64 chargedUnits;
    uint64 capProvenUnits;
    uint32 noticeAt;
    uint32 expiry;
}

/// @dev Two slots. `outcomes` is zero until the epoch is settled.
struct Epoch {
    bytes32 root;
    uint16 count;
    uint40 postedAt;
    uint40 postedBlock;
    uint160 outcomes;
}

/// @dev What happened to a leaf apart from its epoch. `paidAt` is zero unless it was paid one by one. `closed`: it was
/// not paid and never will be. `refundedUnits`: all refunds of its charge so far.
struct Leaf {
    uint40 paidAt;
    bool closed;
    uint64 refundedUnits;
}

/// @dev Both counters only grow, and wrap at 2^64; their difference, which is owed, does not.
struct OperatorCredit {
    uint64 earnedUnits;
    uint64 claimedUnits;
}

/// @dev One slot: the bond, and the charges of this bucket of the charge window and of the one before.
struct SettlerBond {
    uint64 bondUnits;
    uint32 bucketStart;
    uint64 spentPreviousUnits;
    uint64 spentCurrentUnits;
    uint32 unbondAt;
}

/// @dev One slot: what JobEscrow owes besides the settler's bond.
struct Totals {
    uint64 balancesUnits;
    uint64 creditsUnits;
    uint64 feesUnits;
}

/// @dev Derived from facts and time, never stored.
enum EpochStatus {
    OPEN,
    POSTED,
    REVEALED,
    SETTLED,
    STRANDED
}

/// @dev Of a leaf in a final epoch, derived from the epoch's outcomes and from `Leaf`.
enum LeafStatus {
    UNCHARGED,
    PAID,
    VOID,
    CLOSED,
    REFUNDED
}

/// @dev Why a whole lane group was skipped: the first of these that holds.
enum SkipReason {
    NONE,
    BALANCE,
    CAP,
    SIGNATURE,
    EXPIRED
}

struct LeafProof {
    uint64 epochId;
    uint32 index;
    address requester;
    address signer;
    uint32 operatorId;
    uint64 amountUnits;
    bytes32 digest;
    bytes32[] siblings;
}

/// @dev The order that proves a cap: its terms' hash and the signer's EIP-2098 signature. `cap` 0: no proof.
struct CapProof {
    uint64 cap;
    bytes32 termsHash;
    bytes32 r;
    bytes32 vs;
}

/// @dev The two bitmaps behind a settled epoch's `outcomes`, ceil(count / 8) bytes each. PAID iff neither bit is set.
struct Outcomes {
    bytes voidBits;
    bytes skippedBits;
}
