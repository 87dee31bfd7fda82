// Shows what galaxy-notify sends. A browser that gets a message without showing it loses the right.
self.addEventListener("push", (event) => {
  const message = event.data.json();
  event.waitUntil(self.registration.showNotification(message.title || message.type, {
    body: message.thin ? "Open the page to read it." : message.body,
    tag: message.notification_id,                  // a repeated message replaces the first
    requireInteraction: message.severity === "critical",
    data: { url: message.data?.url ?? "/", notification_id: message.notification_id },
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  // The data comes from a producer: only pages of our own are opened.
  const url = new URL(event.notification.data.url, self.location.origin);
  const own = url.origin === self.location.origin ? url.href : "/";
  event.waitUntil(self.clients.openWindow(own));
});
