// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {DevWallet} from "src/dev/DevWallet.sol";
import {EpochStatus, LeafStatus} from "src/libraries/Types.sol";
import {BlockingToken} from "../utils/BlockingToken.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What the campaign knows apart from the contracts: people, and a model of every lane, account, epoch, leaf,
/// contest and case, moved by what SPEC says of each call. It never reads a block hash, so neither may the contracts.
abstract contract Ghost is Network {
    // ---------------------------------------------------------------- what is kept

    struct LaneBook {
        address requester;
        address signer;
        uint64 balance;
        uint64 charged;
        uint64 capProven;
        uint64 capSigned; // the highest that its signer signed
        uint32 noticeAt;
        uint32 expiry;
        uint256 key;
    }

    struct Account {
        address owner;
        uint32 id;
        uint40 payoutAt;
        uint40 unbondAt;
        address payout;
        address nextPayout;
        uint64 stake;
        uint64 unbonding;
        uint80 locked; // of an operator what its cases ask for, there or not
        uint64 earned;
        uint64 claimed;
        bool admitted;
        uint8 keys; // how many verifier keys it had
    }

    struct EpochBook {
        uint40 postedAt;
        uint40 postedBlock;
        uint16 count;
        uint16 voidSet;
        uint16 skippedSet;
        bool settled;
        uint8 timesSettled;
        EpochStatus seen;
        uint32 firstLeaf;
        bytes32[] nodes;
    }

    struct LeafBook {
        uint64 epochId;
        uint8 index;
        uint8 lane;
        uint8 account;
        uint16 kind;
        uint48 amount;
        uint64 cap; // its order's
        uint64 salt;
        uint40 deadline;
        uint40 chargedAt;
        uint40 paidAt; // when the lane paid
        bool closed; // before it was paid
        uint8 timesPaid;
        uint64 refunded;
        uint8 seen; // 0: not final, else the status + 1
        bytes32 digest;
    }

    struct ContestBook {
        uint40 contestedAt;
        address contester;
        IContests.ContestStatus closedAs;
        IContests.ContestStatus seen;
    }

    enum CaseStatus {
        NONE,
        COMMITTING,
        REVEALING,
        RULED,
        EXECUTED
    }

    struct CaseBook {
        uint40 commitEnds;
        bool appealed;
        bool executed;
        uint64 penalty; // k * maxPrice
        uint64 exposure; // of each that answers
        uint64 share; // of the penalty, for each that opened the upheld answer
        uint64 total; // active stake in the snapshot
        CaseStatus seen;
        ISlashingCourt.Ruling ruled;
        uint8 leading; // index of the answer with the most stake, the first of equals
        uint64[4] active; // of each verifier in the snapshot
        uint8[4] committed; // 0 nothing, else the answer + 1
        uint8[4] opened;
        bool[4] settled;
        uint8[4] keyAt; // the how manieth key committed
        uint64[2] weight; // stake behind each answer
        uint8[2] openers;
    }

    // What a row is besides honest work, honestly charged.
    uint16 internal constant OVERPRICED = 1;
    uint16 internal constant INVENTED = 2; // no order was signed
    uint16 internal constant LATE = 4; // posted after the order's deadline
    uint16 internal constant WITHHELD = 8; // nobody has the output
    uint16 internal constant WRONG = 16; // the node's trace is not the true one
    uint16 internal constant RESTRICTED = 32;
    uint16 internal constant NATIVE = 64;
    uint16 internal constant HUGE = 128; // a maxPrice that locks all a verifier may stand for, and asks for all there is
    uint16 internal constant REPEATED = 256; // one order in many rows
    uint16 internal constant CHECK = 512; // a verdict, in the treasury's lane

    uint256 internal constant LANES = 6;
    uint256 internal constant TREASURY_LANE = 5;
    uint256 internal constant ACCOUNTS = 6; // an honest operator, a lying one, then verifiers
    uint256 internal constant VERIFIERS = 4; // two honest, a liar, and one that is mostly silent
    uint256 internal constant LIAR = 2;
    uint8 internal constant TRUTH = 0;
    uint8 internal constant LIE = 1;
    uint48 internal constant AMOUNT = 500_000; // fixed 100,000 and 40 units of 10,000
    uint64 internal constant MAX_PRICE = 1e6;
    uint64 internal constant HUGE_PRICE = 4e8; // of which a penalty is more than the least stake of a verifier
    uint64 internal constant SMALL_BOND = 2e7; // forty charges
    uint256 internal constant CASE_WINDOW = 400;
    uint256 internal constant PAYOUT_DELAY = 60;
    uint256 private constant BEACONS_LEFT = 1500;
    uint64[ACCOUNTS] private STAKES = [4e9, 2e7, 2.6e9, 2.6e9, 3e9, 1.005e9];

    address internal anyone = addressOf("anyone");
    address internal relayer = addressOf("relayer");
    address internal elsewhere = addressOf("elsewhere");
    address internal coldWallet = addressOf("payout");
    address internal doubter = addressOf("contester");
    uint256 internal thief = keyOf("thief");

    BlockingToken internal blockable;
    LaneBook[LANES] internal lanes;
    Account[ACCOUNTS] internal accounts;
    address[2] internal nodes;
    uint256[2] internal nodeKeys;
    address[VERIFIERS] internal verifierKeys;
    bytes32[] internal beaconChain;
    uint256 internal beaconAt;

    mapping(uint64 id => EpochBook) internal epochBooks;
    LeafBook[] internal leafBooks;
    mapping(uint256 leaf => ContestBook) internal contestBooks;
    mapping(uint256 leaf => CaseBook) internal caseBooks;
    uint256[] internal openContests;
    uint256[] internal openCases;
    uint256[] internal unsettledCases; // executed, and not all votes settled
    uint64 internal rewards; // slashed and owed to verifiers
    uint64 internal sunk; // slashed and owed to the sink
    mapping(bytes32 orderId => bool) internal equivocations;
    uint256[] internal repeated; // leaves of orders that were charged again and again
    uint256[] internal touched; // leaves that this move changed
    uint64 internal lastEpoch;

    uint64 internal fees;
    uint64 internal bond;
    uint40 internal unbondAt;
    uint40 internal bucketStart;
    uint64 internal spentBefore;
    uint64 internal spentNow;
    bool internal paused;
    bool internal settlerIsDead;
    bool internal ended;
    address internal blocked;
    mapping(address contract_ => uint256) internal donatedWei;
    address[] internal holders; // everybody who may hold tokens
    mapping(address holder => uint256 units) internal purse;

    uint256[] internal paidLeaves; // in the order of their payment
    uint256 internal windowFrom; // the first of them in the last charge window
    uint256 internal windowUnits; // what they were charged and may still have refunded

    uint256 public turns;
    mapping(bytes32 name => uint256) public hits;
    bytes32[] public names;

    // ---------------------------------------------------------------- the beginning

    function setUp() public virtual override {
        super.setUp();
        vm.etch(address(token), address(new BlockingToken()).code);
        blockable = BlockingToken(address(token));
        _setUpBond();
        _setUpBeacon();
        _setUpLanes();
        _setUpAccounts();
        pay(addressOf("contester"), 1e12);
        pass(12);
        _setUpPurses();
    }

    function _setUpPurses() private {
        holders = [address(escrow), address(stakes), address(contests), sink, treasury, settler, guardian, governor];
        string[7] memory others = ["settler0", "settler1", "contester", "payout", "elsewhere", "anyone", "relayer"];
        for (uint256 i = 0; i < others.length; ++i) {
            holders.push(addressOf(others[i]));
        }
        for (uint256 i = 0; i < 3; ++i) {
            holders.push(lanes[2 * i].requester);
        }
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            holders.push(accounts[i].owner);
        }
        pay(addressOf("settler0"), 1e13);
        pay(addressOf("settler1"), 1e13);
        for (uint256 i = 0; i < holders.length; ++i) {
            purse[holders[i]] = token.balanceOf(holders[i]) / UNIT;
        }
    }

    function _setUpBond() private {
        vm.prank(settler);
        escrow.unbondSettler();
        pass(UNBOND);
        vm.prank(settler);
        escrow.withdrawBond();
        pay(settler, 1e15);
        vm.prank(settler);
        escrow.bondSettler(SMALL_BOND);
        bond = SMALL_BOND;
    }

    function _setUpBeacon() private {
        bytes32 value = keccak256("campaign");
        for (uint256 i = 0; i < BEACONS_LEFT; ++i) {
            beaconChain.push(value);
            value = keccak256(abi.encode(value));
        }
        beaconAt = BEACONS_LEFT;
        vm.prank(governor);
        escrow.resetBeacon(value);
    }

    /// @dev Two wallets with a session each, a contract wallet with one, and the treasury.
    function _setUpLanes() private {
        address wallet = address(new DevWallet(addressOf("wallet")));
        address[3] memory requesters = [addressOf("requester0"), addressOf("requester1"), wallet];
        string[LANES] memory signers = ["requester0", "session0", "requester1", "session1", "session2", "treasury"];
        for (uint256 i = 0; i < LANES; ++i) {
            lanes[i].requester = i == TREASURY_LANE ? treasury : requesters[i / 2];
            lanes[i].signer = addressOf(signers[i]);
            lanes[i].key = keyOf(signers[i]);
        }
        for (uint256 i = 0; i < 3; ++i) {
            pay(requesters[i], 1e13);
        }
        pay(treasury, 1e13);
        for (uint256 i = 0; i < LANES; ++i) {
            if (lanes[i].requester != lanes[i].signer) continue;
            vm.prank(lanes[i].requester);
            escrow.deposit(lanes[i].requester, lanes[i].signer, SMALL_BOND);
            lanes[i].balance = SMALL_BOND;
        }
    }

    function _setUpAccounts() private {
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            string memory name = string.concat("owner", vm.toString(i));
            Account storage account = accounts[i];
            account.owner = addressOf(name);
            account.payout = account.owner;
            account.id = registerOperator(name, STAKES[i]);
            account.stake = STAKES[i];
            pay(account.owner, 1e13);
            if (i >= 2) {
                admit(i - 2);
                continue;
            }
            string memory node = string.concat("node", vm.toString(i));
            (nodes[i], nodeKeys[i]) = (addressOf(node), keyOf(node));
            bytes memory signature = sign(node, stakes.hashNodeKey(account.owner, nodes[i]));
            vm.prank(account.owner);
            stakes.addNodeKey(nodes[i], signature);
        }
    }

    // ---------------------------------------------------------------- moves and what comes of them

    /// @dev Every move begins in a block of its own, every fourth a second later, and is looked at when it is over.
    modifier turn() {
        ++turns;
        vm.roll(vm.getBlockNumber() + 1);
        if (turns % 4 == 0) vm.warp(time() + 1);
        _;
        checkAfterMove();
    }

    function checkAfterMove() internal virtual;

    /// @dev The fuzzer likes small numbers and old ones; each of a seed's bits decides something.
    function mixed(uint256 seed) internal view returns (uint256) {
        return uint256(keccak256(abi.encode(seed, turns))) >> 8;
    }

    /// @notice Calls a contract, which does what it is asked or refuses for exactly this reason (0: it must not refuse).
    function attempt(address who, address target, bytes memory data, bytes4 refusal) internal returns (bool done) {
        bytes memory answer;
        vm.prank(who, who);
        (done, answer) = target.call(data);
        vm.assertEq(uint32(done ? bytes4(0) : bytes4(answer)), uint32(refusal), "refused, but not for what it should");
        if (!done) hit("refusals");
    }

    /// @dev What an accepted move should have done to the tokens.
    function move(address from, address to, uint256 units) internal {
        purse[from] -= units;
        purse[to] += units;
    }

    /// @dev What is done after a run's end is counted apart from its moves.
    function hit(bytes32 name) internal {
        if (!ended) count(name);
    }

    function count(bytes32 name) internal {
        if (hits[name]++ == 0) names.push(name);
    }

    function touch(uint256 leaf) internal {
        touched.push(leaf);
    }

    function nameCount() external view returns (uint256) {
        return names.length;
    }

    function firstOf(bytes4 a, bytes4 b) internal pure returns (bytes4) {
        return a != 0 ? a : b;
    }

    /// @dev What the token says to a transfer between these two.
    function tokenRefusal(address from, address to) internal view returns (bytes4) {
        bool isBlocked = blocked != address(0) && (blocked == from || blocked == to);
        return isBlocked ? BlockingToken.BlockingToken_Blocked.selector : bytes4(0);
    }

    /// @dev Admits a verifier with a key that was never used.
    function admit(uint256 v) internal {
        Account storage account = accounts[v + 2];
        string memory name = string.concat("verifier", vm.toString(v), "/", vm.toString(++account.keys));
        verifierKeys[v] = addressOf(name);
        vm.prank(governor);
        stakes.admitVerifier(account.id, verifierKeys[v]);
        account.admitted = true;
    }

    function signNode(uint256 account, bytes32 digest) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(nodeKeys[account], digest);
        return abi.encodePacked(r, s, v);
    }

    // ---------------------------------------------------------------- derived from the model

    function epochStatus(uint64 id) internal view returns (EpochStatus) {
        EpochBook storage epoch = epochBooks[id];
        if (epoch.postedAt == 0) return EpochStatus.OPEN;
        if (epoch.settled) return EpochStatus.SETTLED;
        if (time() > epoch.postedAt + SETTLE_WAIT) return EpochStatus.STRANDED;
        return id < lastEpoch ? EpochStatus.REVEALED : EpochStatus.POSTED;
    }

    function isFinal(uint64 id) internal view returns (bool) {
        EpochStatus status = epochStatus(id);
        return status == EpochStatus.SETTLED || status == EpochStatus.STRANDED;
    }

    /// @dev Of a leaf in a final epoch.
    function leafStatus(LeafBook storage leaf) internal view returns (LeafStatus) {
        if ((epochBooks[leaf.epochId].voidSet >> leaf.index) & 1 == 1) return LeafStatus.VOID;
        bool paid = leaf.timesPaid > 0;
        if (!paid) return leaf.closed ? LeafStatus.CLOSED : LeafStatus.UNCHARGED;
        return leaf.refunded == leaf.amount ? LeafStatus.REFUNDED : LeafStatus.PAID;
    }

    function isPaid(LeafBook storage leaf) internal view returns (bool) {
        return isFinal(leaf.epochId) && leafStatus(leaf) == LeafStatus.PAID;
    }

    function contestStatus(uint256 i) internal view returns (IContests.ContestStatus) {
        ContestBook storage book = contestBooks[i];
        if (book.closedAs != IContests.ContestStatus.NONE) return book.closedAs;
        if (book.contestedAt == 0) return IContests.ContestStatus.NONE;
        uint256 age = time() - book.contestedAt;
        if (age < ANSWER_WINDOW) return IContests.ContestStatus.OPEN;
        return
            age < ANSWER_WINDOW + RESOLVE_WINDOW ? IContests.ContestStatus.UNANSWERED : IContests.ContestStatus.OVERDUE;
    }

    function caseStatus(CaseBook storage book) internal view returns (CaseStatus) {
        if (book.commitEnds == 0) return CaseStatus.NONE;
        if (book.executed) return CaseStatus.EXECUTED;
        if (time() < book.commitEnds) return CaseStatus.COMMITTING;
        return time() < book.commitEnds + REVEAL_WINDOW ? CaseStatus.REVEALING : CaseStatus.RULED;
    }

    /// @dev SPEC section 8, step 4, once the reveal window is over. The node's answer is the truth unless it is wrong.
    function rulingOf(uint256 i) internal view returns (ISlashingCourt.Ruling) {
        CaseBook storage book = caseBooks[i];
        CaseStatus status = caseStatus(book);
        if (status != CaseStatus.RULED && status != CaseStatus.EXECUTED) return ISlashingCourt.Ruling.OPEN;
        uint8 nodes_ = leafBooks[i].kind & WRONG == 0 ? TRUTH : LIE;
        uint8 lead = book.leading;
        if (2 * uint256(book.weight[lead]) > book.total) {
            return lead == nodes_ ? ISlashingCourt.Ruling.NODE_UPHELD : ISlashingCourt.Ruling.NODE_GUILTY;
        }
        bool convicts = !book.appealed && book.openers[1 - lead] == 0 && book.openers[lead] >= 2 && lead != nodes_;
        return convicts ? ISlashingCourt.Ruling.NODE_GUILTY : ISlashingCourt.Ruling.DISMISSED;
    }

    /// @dev What a vote in an executed case is owed, settled or not.
    function rewardOf(uint256 i, uint256 v) internal view returns (uint64) {
        CaseBook storage book = caseBooks[i];
        bool guilty = rulingOf(i) == ISlashingCourt.Ruling.NODE_GUILTY;
        return guilty && book.opened[v] == book.leading + 1 ? book.share : 0;
    }

    function payoutOf(Account storage account) internal view returns (address) {
        return account.payoutAt != 0 && time() >= account.payoutAt ? account.nextPayout : account.payout;
    }

    function activeStake(uint256 v) internal view returns (uint64) {
        Account storage account = accounts[v + 2];
        return account.admitted && account.stake >= MIN_VERIFIER_STAKE ? account.stake : 0;
    }

    // ---------------------------------------------------------------- money of the model

    function spentLately() internal view returns (uint256) {
        if (time() >= bucketStart + 2 * CHARGE_WINDOW) return 0;
        return time() >= bucketStart + CHARGE_WINDOW ? spentNow : uint256(spentBefore) + spentNow;
    }

    function spend(uint64 units) internal {
        if (time() >= bucketStart + 2 * CHARGE_WINDOW) {
            (bucketStart, spentBefore, spentNow) = (uint40(time()), 0, 0);
        } else if (time() >= bucketStart + CHARGE_WINDOW) {
            (bucketStart, spentBefore, spentNow) = (bucketStart + uint40(CHARGE_WINDOW), spentNow, 0);
        }
        spentNow += units;
    }

    /// @dev A refund out of the bond frees what its charge took up, of the older bucket first.
    function giveBack(uint64 units) internal {
        bond -= units;
        uint64 older = units < spentBefore ? units : spentBefore;
        uint64 newer = units - older < spentNow ? units - older : spentNow;
        (spentBefore, spentNow) = (spentBefore - older, spentNow - newer);
    }

    function noteCredit(uint256 account, uint64 gross) internal {
        uint64 fee = gross / 10;
        fees += fee;
        accounts[account].earned += gross - fee;
    }

    function notePaid(uint256 i, uint40 chargedAt) internal {
        LeafBook storage leaf = leafBooks[i];
        ++leaf.timesPaid;
        leaf.chargedAt = chargedAt;
        leaf.paidAt = uint40(time());
        touch(i);
        paidLeaves.push(i);
        windowUnits += leaf.amount;
    }

    function noteRefund(uint256 i, uint64 units) internal {
        rollWindow();
        LeafBook storage leaf = leafBooks[i];
        leaf.refunded += units;
        touch(i);
        lanes[leaf.lane].balance += units;
        if (time() < leaf.paidAt + CHARGE_WINDOW) windowUnits -= units;
    }

    /// @dev Forgets the charges that left the window.
    function rollWindow() internal {
        while (windowFrom < paidLeaves.length) {
            LeafBook storage leaf = leafBooks[paidLeaves[windowFrom]];
            if (time() < leaf.paidAt + CHARGE_WINDOW) return;
            ++windowFrom;
            windowUnits -= leaf.amount - leaf.refunded;
        }
    }

    function takeStake(Account storage account, uint64 units) internal {
        uint64 fromStake = units < account.stake ? units : account.stake;
        account.stake -= fromStake;
        account.unbonding -= units - fromStake;
    }

    /// @dev What a penalty can take.
    function thereOf(Account storage account, uint64 units) internal view returns (uint64) {
        uint64 there = account.stake + account.unbonding;
        return units < there ? units : there;
    }
}
