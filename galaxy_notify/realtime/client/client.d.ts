/** A notification, as the gateway sends it. */
export interface Notification {
  /** The same for all parts, channels and repeats: a page is given each id once. */
  notification_id: string;
  event_id: string;
  type: string;
  severity: "info" | "notice" | "warning" | "critical";
  title: string;
  body: string;
  data: Record<string, unknown>;
  created_at_ms: number;
  offset: number;
}

/** A notification that was taken back: do not show it any more. The same one may come twice. */
export interface Retraction {
  notification_id: string;
  offset: number;
}

/** The counts of a user's feed: of two, that of a higher epoch is newer, else that of a higher version. */
export interface Counts {
  unread: number;
  unseen: number;
  version: number;
  epoch: number;
}

/** An item of `GET /v1/me/feed`; times are in ms since 1970, null for what is not. */
export interface FeedItem {
  /** Of the row, for support: marks take `notification_id`. */
  id: number;
  notification_id: string;
  type: string;
  producer: string;
  severity: Notification["severity"];
  title: string;
  body: string;
  data: Record<string, unknown> | null;
  /** By the clock of the producer. */
  created_at_ms: number;
  /** When it came into the feed: the order of the list. */
  at_ms: number;
  seen_at_ms: number | null;
  read_at_ms: number | null;
  archived_at_ms: number | null;
  delivered_via: string[];
}

/** A page of `GET /v1/me/feed`, newest first; `next` is the cursor of the next one. */
export interface FeedPage {
  items: FeedItem[];
  next: string | null;
  counts: Counts;
}

/** The body of `POST /v1/me/feed/read`, `unread`, `seen` and `archive`, which answer `Counts`. */
export type FeedMark = { ids: string[] } | { all: true; until?: string };

/** Events may be missing before the cursor: load the list again. */
export interface Reset {
  reason: "unknown" | "rolled_back" | "trimmed" | "too_many";
  cursor: string;
}

/** What was pushed without being stored: not repeated, and lost while there is no connection. */
export interface Message {
  type: string;
  data: unknown;
}

/**
 * `connecting`: no stream yet, or none any more; the next attempt is on its way.
 * `live`: events come as they happen. `late`: the gateway cannot read events now, and will.
 * `closed`: by `close()`, or for good.
 */
export type State = "connecting" | "live" | "late" | "closed";

export interface Status {
  state: State;
  /** Whether `state` is `live`. */
  live: boolean;
  /**
   * Why the state is not `live`: what the gateway said at the end of a stream (`slow`, `rotate`,
   * `expired`, `shutdown`, `too_many`), or `token` (it was not given, or cannot be read),
   * `unauthorized`, `network`, `offline`, `silent`; of `closed` also `closed` (by the page),
   * `logout`, or `user` (a token of another user was given: connect again).
   */
  reason?: string;
}

export interface Options {
  /** Where the gateway is: `https://events.example.com`, with a path if a proxy gives it one. */
  url: string | URL;
  /** Returns a token of the user that is valid now. It is called for each connection. */
  token: () => Promise<string> | string;
  /** Each new notification, in order and once. */
  onNotification?: (notification: Notification) => void;
  /** A notification was taken back: show it no more. It may come twice, or for one never shown. */
  onRetract?: (retraction: Retraction) => void;
  /** Newer counts than before; the first ones come with the stream. */
  onCounts?: (counts: Counts) => void;
  onReset?: (reset: Reset) => void;
  onMessage?: (message: Message) => void;
  onStatus?: (status: Status) => void;
  /**
   * After how long without a byte the connection counts as lost, in ms (60000). Longer than the
   * gateway's `realtime.ping_ms`.
   */
  silenceMs?: number;
}

export interface Handle {
  readonly state: State;
  /** End the stream; another tab of the user goes on. */
  close(): void;
}

/**
 * Show a page the notifications of a user.
 *
 * All tabs of a browser share one stream. A reload goes on behind the last event that was handed
 * over. To change the user, close and connect again.
 */
export function connect(options: Options): Handle;
